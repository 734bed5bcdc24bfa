"""Many questions: each is asked once, its answer is stored before its row counts, and a run goes on."""
