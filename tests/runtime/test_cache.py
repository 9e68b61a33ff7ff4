"""What a run keeps for its system: facts about its data, and who owns its files."""

import json

import pytest

from vadjax.data.store.records import Dataset, Description
from vadjax.runtime import workdir
from vadjax.runtime.cache import RunCache


@pytest.fixture
def fact(toy_bags):
    return Dataset(toy_bags)


def other(fact) -> Description:
    return Description("/elsewhere", fact.manifest, "another digest")


def begin(folder, digest="d"):
    content = {"system": "mil", workdir.DATASET: digest}
    (folder / workdir.FILE).write_text(json.dumps(content))


def test_facts_are_kept_and_found(tmp_path, fact):
    cache = RunCache(tmp_path)
    assert cache.fact("objects") is None
    workdir.keep_facts(tmp_path, {"objects": fact})
    assert json.loads((tmp_path / "objects.json").read_text()) == fact.to_json()
    assert cache.fact("objects").digest == fact.digest


def test_a_run_does_not_go_on_with_other_facts(tmp_path, fact):
    workdir.keep_facts(tmp_path, {"objects": other(fact)})
    workdir.keep_facts(tmp_path, {"objects": fact})  # nothing is saved yet
    begin(tmp_path)
    workdir.keep_facts(tmp_path, {"objects": fact})
    with pytest.raises(ValueError, match="/elsewhere: not the objects that the run in .* began"):
        workdir.keep_facts(tmp_path, {"objects": other(fact)})
    assert RunCache(tmp_path).fact("objects").digest == fact.digest


@pytest.mark.parametrize("name", ["config", "dataset", "metrics", "provenance"])
def test_a_fact_takes_no_name_of_the_run(tmp_path, fact, name):
    with pytest.raises(ValueError, match=f"a fact '{name}'; the run has a file of this name"):
        workdir.keep_facts(tmp_path, {name: fact})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_facts_that_cannot_be_read(tmp_path, content):
    (tmp_path / "objects.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"objects\.json"):
        RunCache(tmp_path).fact("objects")


def test_files_belong_to_the_dataset_of_the_run(tmp_path, fact):
    cache = RunCache(tmp_path)
    assert not cache.began and cache.owns(fact) and cache.owns(other(fact))
    begin(tmp_path, fact.digest)
    assert cache.began and cache.owns(fact) and not cache.owns(other(fact))


def test_one_process_has_all_to_itself(tmp_path):
    cache = RunCache(tmp_path)
    assert not cache.shared and list(cache.share([1, 2, 3])) == [1, 2, 3]
    cache.wait("here")
    with cache.first_then_others("there"):
        pass
    assert cache.folder == cache.workdir == tmp_path
