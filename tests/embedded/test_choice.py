"""Which model runs: argument, environment, cache, default."""

from __future__ import annotations

from pathlib import Path

import pytest

from freeproviders.embedded.cache import path_of
from freeproviders.embedded.choice import choose
from freeproviders.embedded.weights import weights_named
from freeproviders.errors import UnknownModelError, UsageError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    return tmp_path


def put(name: str, *, whole: bool = True) -> None:
    """As large as the model's file, and no larger on the disk than nothing."""
    row = weights_named(name)
    path = path_of(row)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(row.size if whole else row.size - 1)


def test_the_default_when_nothing_is_here(cache: Path) -> None:
    choice = choose()
    assert choice.name == "qwen2.5-coder-0.5b"
    assert choice.weights is not None
    assert cache in choice.path.parents


def test_the_best_that_is_here() -> None:
    put("smollm2-135m")
    assert choose().name == "smollm2-135m"
    put("qwen2.5-coder-0.5b")
    assert choose().name == "qwen2.5-coder-0.5b"
    put("qwen2.5-coder-1.5b", whole=False)
    assert choose().name == "qwen2.5-coder-0.5b"


def test_the_environment_goes_before_the_cache() -> None:
    put("qwen2.5-coder-0.5b")
    assert choose(environment={"FREEPROVIDERS_MODEL": "smollm2-135m"}).name == "smollm2-135m"


def test_the_environment_may_name_a_file(tmp_path: Path) -> None:
    for value in ("own.gguf", str(tmp_path / "Own Model.GGUF"), "./folder/own"):
        choice = choose(environment={"FREEPROVIDERS_MODEL": value})
        assert choice.weights is None
        assert choice.path == Path(value).resolve()
    assert choose(environment={"FREEPROVIDERS_MODEL": str(tmp_path / "my-model.gguf")}).name == "my-model"


def test_a_home_is_a_home() -> None:
    assert choose(model_path="~/model.gguf").path == Path.home() / "model.gguf"


def test_arguments_go_before_all(tmp_path: Path) -> None:
    environment = {"FREEPROVIDERS_MODEL": "qwen2.5-coder-1.5b"}
    assert choose("SmolLM2-135M", environment=environment).name == "smollm2-135m"
    assert choose("smollm2-135m", tmp_path / "x.gguf", environment=environment).name == "x"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownModelError, match="smollm2-135m"):
        choose("gpt-4")
    with pytest.raises(UnknownModelError, match="smollm2-135m"):
        choose(environment={"FREEPROVIDERS_MODEL": "gpt-4"})
    with pytest.raises(UsageError, match="model_path is empty"):
        choose(model_path="")


def test_a_wrong_name_in_the_environment_says_where_it_came_from() -> None:
    with pytest.raises(
        UnknownModelError,
        match=r"no embedded model named 'nope'.* The name came from the variable FREEPROVIDERS_MODEL\.$",
    ):
        choose(environment={"FREEPROVIDERS_MODEL": "nope"})
    with pytest.raises(UnknownModelError, match=r"model_path=\.$"):
        choose("nope", environment={"FREEPROVIDERS_MODEL": "nope"})
