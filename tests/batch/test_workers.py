"""Three workers on one quota use all of it and nothing more."""

from tests.batch.working import worked
from tests.quota.servers import redis_server

DAY = 90


def test_three_workers_use_the_day_up_and_no_more(tmp_path):
    limits = [
        {"metric": "requests", "per": "day", "cap": DAY},
        {"metric": "requests", "per": "second", "cap": 60},
        {"metric": "concurrency", "per": "", "cap": 9},
    ]
    with redis_server(tmp_path) as server:
        came, reports = worked(server.url, tmp_path, limits=limits, workers=3, rows=60)
    assert len(came) == DAY
    assert sum(report["done"] for report in reports) == DAY
    assert all("requests a day" in report["why"] for report in reports if report["exhausted"])
