import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from math import inf, nan

import pytest
from msgspec.structs import replace

from sidecar.catalog import mlflow_registry, mlflow_tracking
from sidecar.catalog.mlflow import Mlflow
from sidecar.cataloguing import Cataloguing
from sidecar.config.schema import Variant
from sidecar.entries import Draft, Link, Point
from sidecar.errors import ConfigError, ConflictError, DeliveryError, UnknownError
from sidecar.ports import Serving
from sidecar.records import JSON
from tests.catalog import contract
from tests.catalog.contract import GROUP, NOW_S, Open
from tests.catalog.mlflow_server import MlflowServer
from tests.e2e.rig import free_address
from tests.steering_rig import ALIASED, Site, versions

CASES = (*contract.VERSIONS, *contract.SERVING, *contract.RUNS)
# MLflow writes the largest number there is for infinity.
OTHERWISE = {contract.odd_values_come_back_as_they_were}
AT = "2026-07-30T12:00:{:02}.000000Z"


def opened(server: MlflowServer) -> Mlflow:
    return Mlflow(uri=server.uri, timeout_s=60.0)


@pytest.fixture
def catalog(mlflow: MlflowServer) -> Mlflow:
    mlflow.wipe()
    return opened(mlflow)


@contextmanager
def place(server: MlflowServer) -> Iterator[Open]:
    server.wipe()
    yield lambda: opened(server)


def deploy(catalog: Mlflow, passed_s: float, why: str, **weights: tuple[str, float]) -> None:
    serving = [Serving(variant, version, weight) for variant, (version, weight) in weights.items()]
    catalog.deploy(GROUP, serving, by="sidecar", why=why, now_s=NOW_S + passed_s)


def tags(server: MlflowServer, number: int) -> Mapping[str, JSON]:
    said = server.say(f"client.get_model_version('{GROUP}', '{number}').tags")
    assert isinstance(said, dict)
    return {name: text for name, text in said.items() if name != "sidecar.registered"}


def aliases(server: MlflowServer) -> JSON:
    return server.say(f"dict(client.get_registered_model('{GROUP}').aliases)")


@pytest.mark.parametrize("case", [each for each in CASES if each not in OTHERWISE], ids=lambda case: case.__name__)
def test_it_does_what_every_catalogue_promises(mlflow: MlflowServer, case: Callable[[Open], None]) -> None:
    with place(mlflow) as fresh:
        case(fresh)


def test_values_that_are_no_numbers_come_back(catalog: Mlflow) -> None:
    points = [Point("odd", step - 2, value, NOW_S) for step, value in enumerate([nan, inf, -inf, 5e-324, 0.1 + 0.2])]
    run = catalog.begin(GROUP, "", now_s=NOW_S)
    catalog.log(run.id, parameters={}, points=points, artefacts={})
    assert repr(list(catalog.run(run.id).points)) == repr(points)


def test_register_deploy_promote_and_roll_back_are_what_people_see_in_mlflow(
    mlflow: MlflowServer, catalog: Mlflow
) -> None:
    for _ in range(2):
        catalog.register(GROUP, Draft(digest="sha256:ab", links=[Link("trained_on", "s3://d")]), by="ci", now_s=NOW_S)
    catalog.decide(GROUP, "1", "approved", by="ada", why="good", now_s=NOW_S)
    drafted = {"sidecar.digest": "sha256:ab", "sidecar.links": '[["trained_on","s3://d",""]]'}
    decided = f'[{{"approval":"approved","at":"{AT.format(0)}","by":"ada","why":"good"}}]'
    first = drafted | {"sidecar.approval": "approved", "sidecar.decisions": decided}
    assert tags(mlflow, 1) == first

    deploy(catalog, 0, "start", champion=("1", 100.0))
    said = '{{"weight":{},"since":"{}","by":"sidecar","why":"{}","replaced":"{}"}}'
    serving = {"sidecar.deployment.champion": said.format(100.0, AT.format(0), "start", "")}
    assert (tags(mlflow, 1), tags(mlflow, 2)) == (first | serving, drafted)
    assert aliases(mlflow) == {"champion": "1"}

    deploy(catalog, 10, "step 1", champion=("1", 90.0), challenger=("2", 10.0))
    rival = {"sidecar.deployment.challenger": said.format(10.0, AT.format(10), "step 1", "")}
    assert tags(mlflow, 2) == drafted | rival
    assert aliases(mlflow) == {"champion": "1", "challenger": "2"}

    deploy(catalog, 20, "promoted", champion=("1", 0.0), challenger=("2", 100.0))
    assert aliases(mlflow) == {"champion": "2", "challenger": "2"}
    assert set(tags(mlflow, 1)) == {*first, "sidecar.deployments"}

    deploy(catalog, 30, "rolled back: worse", champion=("1", 100.0), challenger=("2", 0.0))
    assert aliases(mlflow) == {"champion": "1", "challenger": "2"}
    ended = (
        f'[{{"variant":"challenger","weight":100.0,"since":"{AT.format(10)}","by":"sidecar","why":"step 1",'
        f'"replaced":"","until":"{AT.format(30)}","ended_by":"sidecar","ended_why":"rolled back: worse"}}]'
    )
    assert tags(mlflow, 2) == drafted | {"sidecar.deployments": ended}
    assert catalog.version(GROUP, "@champion").number == 1
    assert catalog.version(GROUP, "2").deployments[0].ended_why == "rolled back: worse"


def test_what_a_job_that_knows_nothing_of_us_has_registered_is_read_with_its_run(
    mlflow: MlflowServer, catalog: Mlflow
) -> None:
    number, run, digest = read(mlflow.say(f"train('{GROUP}', {{'depth': 6}}, {{'auc': 0.75}}, 's3://models/7')"))
    (version,) = catalog.versions(GROUP)
    assert (version.number, version.by, version.decisions) == (int(number), "", [])
    draft = version.draft
    assert (draft.artefact, draft.notes) == ("s3://models/7", "by a client")
    assert (dict(draft.parameters), dict(draft.metrics)) == ({"depth": "6"}, {"auc": 0.75})
    assert list(draft.links) == [Link("produced_by", run), Link("trained_on", "july", digest)]
    told = catalog.run(run)
    assert (told.group, told.name, told.status, dict(told.metrics)) == (GROUP, "theirs", "finished", {"auc": 0.75})
    assert [each.id for each in catalog.runs(GROUP)] == [run]


def read(answer: JSON) -> list[str]:
    assert isinstance(answer, list)
    return [str(each) for each in answer]


def test_an_alias_is_resolved_and_followed(mlflow: MlflowServer, catalog: Mlflow) -> None:
    for _ in range(3):
        catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
    mark = catalog.mark(GROUP)
    for number in (2, 1):
        mlflow.say(f"client.set_registered_model_alias('{GROUP}', 'champion', '{number}')")
        assert catalog.version(GROUP, "@champion").number == number
        assert [list(each.aliases) for each in catalog.versions(GROUP)][3 - number] == ["champion"]
        assert mark != (mark := catalog.mark(GROUP))
    assert catalog.version(GROUP, "@latest").number == 3
    deploy(catalog, 0, "start", a=("@champion", 100.0))
    assert [each.variant for each in catalog.version(GROUP, "1").deployed] == ["a"]
    for name in ("@nobody", "@", "@a b", "@v1"):
        with pytest.raises(UnknownError):
            catalog.version(GROUP, name)


def move(server: MlflowServer, **aliases: int) -> None:
    """As somebody does it with MLflow's own client."""
    for alias, number in aliases.items():
        server.say(f"client.set_registered_model_alias('{GROUP}', '{alias}', '{number}')")


def test_a_sidecar_follows_the_aliases_that_people_move(mlflow: MlflowServer, catalog: Mlflow) -> None:
    for _ in range(5):
        catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
    move(mlflow, champion=3, challenger=4)
    latest = Variant(url="http://model:3", version="@latest", weight=0)
    site = Site(replace(ALIASED, variants={**ALIASED.variants, "newest": latest}))
    cataloguing = Cataloguing(catalog, GROUP, site.steering, live=dict, wall_s=lambda: NOW_S)

    async def followed() -> list[str]:
        """The versions in force, and the aliases."""
        for _ in range(3):
            await cataloguing.look()
        return [*versions(site.gateways[-1]).values(), str(aliases(mlflow))]

    async def scenario() -> None:
        assert await followed() == ["3", "4", "5", "{'challenger': '4', 'champion': '3'}"]
        await site.promote("4")
        assert await followed() == ["3", "4", "5", "{'challenger': '4', 'champion': '4'}"]
        await site.promote("3")
        assert await followed() == ["3", "4", "5", "{'challenger': '4', 'champion': '3'}"]
        move(mlflow, challenger=2)
        assert (await followed())[:3] == ["3", "2", "5"]
        catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
        assert (await followed())[:3] == ["3", "2", "6"]
        assert cataloguing.findings == []
        mlflow.say(f"client.delete_registered_model_alias('{GROUP}', 'challenger')")
        assert (await followed())[:3] == ["3", "2", "6"]
        assert [finding.key.check for finding in cataloguing.findings] == ["alias"]
        told = [change.what for _, change in site.journal.changes(9) if change.who == "catalogue"]
        assert told[:-1] == [
            "variants.newest.version: 5 → 6 (@latest)",
            "variants.challenger.version: 4 → 2 (@challenger)",
            "@champion: 4 → 3, which champion serves",
            "@champion: 3 → 4, which challenger serves",
        ]
        await cataloguing.close()
        await site.close()

    asyncio.run(scenario())


def test_an_alias_that_somebody_has_moved_is_not_moved_back_until_something_changes(
    mlflow: MlflowServer, catalog: Mlflow
) -> None:
    for _ in range(3):
        catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
    deploy(catalog, 0, "start", a=("1", 100.0))
    mlflow.say(f"client.set_registered_model_alias('{GROUP}', 'champion', '3')")
    deploy(catalog, 1, "restart", a=("1", 100.0))
    assert aliases(mlflow) == {"champion": "3"}
    deploy(catalog, 2, "promoted", a=("2", 100.0))
    assert aliases(mlflow) == {"champion": "2"}


def test_what_people_make_of_the_approval_tag_holds(mlflow: MlflowServer, catalog: Mlflow) -> None:
    catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
    catalog.decide(GROUP, "1", "approved", by="ada", why="", now_s=NOW_S)
    mark = catalog.mark(GROUP)
    mlflow.say(f"client.set_model_version_tag('{GROUP}', '1', 'sidecar.approval', ' Rejected')")
    assert catalog.mark(GROUP) != mark
    version = catalog.version(GROUP, "1")
    assert [each.approval for each in version.decisions] == ["approved", "rejected"]
    assert version.decisions[-1].why == "the tag sidecar.approval says so"
    catalog.decide(GROUP, "1", "approved", by="bob", why="again", now_s=NOW_S + 1)
    words = [(each.approval, each.by) for each in catalog.version(GROUP, "1").decisions]
    assert words == [("approved", "ada"), ("rejected", ""), ("approved", "bob")]


def test_tags_that_somebody_has_spoiled_count_as_none(mlflow: MlflowServer, catalog: Mlflow) -> None:
    whole = Draft(signature={"a": 1}, metrics={"auc": 0.5}, links=[Link("trained_on", "d")], parameters={"p": "1"})
    catalog.register(GROUP, whole, by="ada", now_s=NOW_S)
    catalog.decide(GROUP, "1", "approved", by="ada", why="", now_s=NOW_S)
    catalog.report(GROUP, "1", {"f1": 0.5}, now_s=NOW_S)
    deploy(catalog, 0, "", a=("1", 100.0))
    for name in tags(mlflow, 1):
        mlflow.say(f"client.set_model_version_tag('{GROUP}', '1', '{name}', '[[{{')")
    version = catalog.version(GROUP, "1")
    assert version.draft == Draft(links=[])
    assert (version.approval, list(version.deployments), version.live) == ("pending", [], {})


def test_what_is_measured_is_one_run_of_a_version(mlflow: MlflowServer, catalog: Mlflow) -> None:
    catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
    mark = catalog.mark(GROUP)
    for second in range(3):
        catalog.report(GROUP, "1", {"f1": second / 4, "psi{amount}": 0.5, "auc": nan}, now_s=NOW_S + second)
    assert repr(catalog.version(GROUP, "1").live) == repr({"f1": 0.5, "psi{amount}": 0.5, "auc": nan})
    found = mlflow.say(f"[(run.info.run_id, run.info.run_name, run.data.metrics) for run in {RUNS}]")
    assert isinstance(found, list)
    ((run, name, metrics),) = [list(each) for each in found if isinstance(each, list)]
    assert (name, metrics) == ("sidecar-monitoring", {"f1": 0.5, "psi_amount_": 0.5})
    history = mlflow.say(f"[[m.step, m.timestamp, m.value] for m in client.get_metric_history('{run}', 'f1')]")
    assert history == [[int(NOW_S) + n, int(NOW_S + n) * 1000, n / 4] for n in range(3)]
    assert catalog.runs(GROUP) == []
    assert catalog.mark(GROUP) == mark


RUNS = f"client.search_runs([client.get_experiment_by_name('{GROUP}').experiment_id])"


def test_the_run_of_what_is_measured_is_found_again_by_its_tag_or_made_again(
    mlflow: MlflowServer, catalog: Mlflow
) -> None:
    catalog.register(GROUP, Draft(), by="", now_s=NOW_S)
    catalog.report(GROUP, "1", {"f1": 0.5}, now_s=NOW_S)
    mlflow.say(f"client.delete_model_version_tag('{GROUP}', '1', 'sidecar.monitoring_run')")
    catalog.report(GROUP, "1", {"f1": 0.25}, now_s=NOW_S + 1)
    assert mlflow.say(f"[run.data.metrics for run in {RUNS}]") == [{"f1": 0.25}]
    mlflow.say(f"[client.delete_run(run.info.run_id) for run in {RUNS}]")
    catalog.report(GROUP, "1", {"f1": 0.75}, now_s=NOW_S + 2)
    assert mlflow.say(f"[run.data.metrics for run in {RUNS}]") == [{"f1": 0.75}]


def test_a_training_run_is_what_people_see_in_mlflow(mlflow: MlflowServer, catalog: Mlflow) -> None:
    run = catalog.begin(GROUP, "xgb-7", now_s=NOW_S)
    points = [Point("loss", step, 1 / (step + 1), NOW_S + step) for step in range(3)]
    catalog.log(run.id, parameters={"depth": "6"}, points=points, artefacts={"model": "s3://m/7"})
    catalog.log(run.id, parameters={"depth": "7", "eta": "0.1"}, points=[], artefacts={})
    catalog.end(run.id, "failed", now_s=NOW_S + 9)
    told = mlflow.say(
        f"""(lambda run: [run.info.run_name, run.info.status, run.info.start_time, run.info.end_time, run.data.params,
        run.data.metrics, run.data.tags])(client.get_run('{run.id}'))"""
    )
    assert isinstance(told, list)
    assert told[:6] == [
        "xgb-7",
        "FAILED",
        int(NOW_S * 1000),
        int((NOW_S + 9) * 1000),
        {"depth": "6", "eta": "0.1"},  # MLflow never changes one
        {"loss": 1 / 3},
    ]
    assert told[6] == {
        "mlflow.runName": "xgb-7",
        "sidecar.artefact.model": "s3://m/7",
        "sidecar.parameter.depth": "7",
    }


def test_more_than_one_request_takes_is_logged_whole(catalog: Mlflow) -> None:
    run = catalog.begin(GROUP, "", now_s=NOW_S)
    points = [Point("loss", step, float(step), NOW_S + step) for step in range(1700)]
    parameters = {f"p{number}": "x" * 6000 for number in range(130)}
    catalog.log(run.id, parameters=parameters, points=points, artefacts={"m": "s3://m"})
    told = catalog.run(run.id)
    assert (told.points, dict(told.parameters), dict(told.artefacts)) == (points, parameters, {"m": "s3://m"})


@pytest.mark.parametrize(
    "artefact",
    [
        "/models/7",
        "models/../7",
        "file:///models/7",
        "C:\\models\\7",
        "s3://m/../7",
        "s3://m/%2e%2e/7",
        "s3://m",
        "m:7",
    ],
)
def test_an_artefact_that_mlflow_takes_for_no_source_is_kept_beside_it(
    mlflow: MlflowServer, catalog: Mlflow, artefact: str
) -> None:
    assert catalog.register(GROUP, Draft(artefact=artefact), by="", now_s=NOW_S).draft.artefact == artefact
    assert catalog.version(GROUP, "1").draft.artefact == artefact
    assert tags(mlflow, 1) == {"sidecar.artefact": artefact}


def test_an_artefact_of_a_run_makes_it_the_source_run(mlflow: MlflowServer, catalog: Mlflow) -> None:
    run = catalog.begin(GROUP, "", now_s=NOW_S)
    catalog.log(run.id, parameters={"depth": "6"}, points=[], artefacts={})
    version = catalog.register(GROUP, Draft(artefact=f"runs:/{run.id}/model"), by="", now_s=NOW_S)
    assert dict(version.draft.parameters) == {"depth": "6"}
    assert list(version.draft.links) == [Link("produced_by", run.id)]
    assert mlflow.say(f"client.get_model_version('{GROUP}', '1').run_id") == run.id


def test_what_only_mlflow_refuses_is_told_and_leaves_no_model(catalog: Mlflow) -> None:
    draft = Draft(artefact="mlflow-artifacts:/0/somebody-elses/artifacts/model")
    with pytest.raises(ConfigError, match="Invalid model version source"):
        catalog.register(GROUP, draft, by="", now_s=NOW_S)
    assert catalog.groups() == []


def test_names_that_only_mlflow_refuses_are_told(catalog: Mlflow) -> None:
    run = catalog.begin(GROUP, "", now_s=NOW_S)
    with pytest.raises(ConfigError, match="Names may only contain"):
        catalog.log(run.id, parameters={"p@1": "x"}, points=[], artefacts={})


def test_versions_of_eight_at_once_have_eight_numbers(catalog: Mlflow) -> None:
    def register(_: int) -> int:
        return catalog.register(GROUP, Draft(), by="", now_s=NOW_S).number

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(register, range(8))) == list(range(1, 9))


def test_long_lists_are_read_to_their_end(catalog: Mlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_registry, "PAGE", 2)
    monkeypatch.setattr(mlflow_tracking, "PAGE", 2)
    runs = [catalog.begin(GROUP, "", now_s=NOW_S + number).id for number in range(5)]
    for run in runs:
        catalog.log(run, parameters={"of": run}, points=[], artefacts={})
        catalog.register(GROUP, Draft(links=[Link("produced_by", run)]), by="", now_s=NOW_S)
    assert [each.draft.parameters["of"] for each in catalog.versions(GROUP)] == runs[::-1]
    assert [each.id for each in catalog.runs(GROUP)] == runs[::-1]


@pytest.mark.parametrize("group", ["it's", 'a "b"', 'it\'s a "b"', "100%", "a\\b", "größe", "a and b = 'c'"])
def test_models_of_any_name_that_mlflow_takes_are_read(mlflow: MlflowServer, catalog: Mlflow, group: str) -> None:
    mlflow.say(f"[client.create_registered_model({group!r}).name, client.create_registered_model('other').name]")
    for name in (group, "other"):
        mlflow.say(f"client.create_model_version({name!r}, 's3://m/1').version")
    assert catalog.groups() == sorted([group, "other"])
    assert [each.group for each in catalog.versions(group)] == [group]
    catalog.deploy(group, [Serving("a", "1", 100.0)], by="", why="", now_s=NOW_S)
    assert [each.variant for each in catalog.version(group, "@champion").deployed] == ["a"]


def test_a_deleted_experiment_is_told_and_one_that_is_restored_goes_on(mlflow: MlflowServer, catalog: Mlflow) -> None:
    run = catalog.begin(GROUP, "", now_s=NOW_S)
    experiment = mlflow.say(f"client.get_experiment_by_name('{GROUP}').experiment_id")
    mlflow.say(f"client.delete_experiment('{experiment}')")
    with pytest.raises(ConflictError, match="was deleted, expected it to be restored"):
        catalog.begin(GROUP, "", now_s=NOW_S)
    with pytest.raises(UnknownError):
        catalog.run(run.id)
    mlflow.say(f"client.restore_experiment('{experiment}')")
    assert catalog.run(run.id).id == run.id


def test_a_model_that_has_only_runs_has_no_versions_and_the_other_way_round(catalog: Mlflow) -> None:
    catalog.begin("runs", "", now_s=NOW_S)
    catalog.register("versions", Draft(), by="", now_s=NOW_S)
    assert (catalog.versions("runs"), catalog.runs("versions")) == ([], [])


def test_a_server_that_hangs_costs_the_timeout_and_no_more(mlflow: MlflowServer) -> None:
    hasty = Mlflow(uri=mlflow.uri, timeout_s=0.1)
    with mlflow.paused(), pytest.raises(DeliveryError, match=f"mlflow {mlflow.address}: no answer within 0.1 s"):
        hasty.groups()


def test_a_server_that_is_not_there_is_told() -> None:
    address = free_address()
    catalog = Mlflow(uri=f"http://{address}")
    with pytest.raises(DeliveryError, match=f"mlflow {address}: no connection: Connection refused"):
        catalog.report(GROUP, "1", {"f1": 0.5}, now_s=NOW_S)


def test_its_uri_is_the_one_that_mlflows_own_client_uses(mlflow: MlflowServer) -> None:
    assert Mlflow(environ={"MLFLOW_TRACKING_URI": mlflow.uri}).versions is not None
    with pytest.raises(UnknownError):
        Mlflow(environ={"MLFLOW_TRACKING_URI": mlflow.uri}, timeout_s=60.0).version("nobody", "1")


def test_what_could_never_work_is_refused_before_anything_is_touched() -> None:
    with pytest.raises(ConfigError) as refused:
        Mlflow(environ={}, champion_alias="v1", challenger_alias="a b")
    assert [each.path for each in refused.value.faults] == ["champion_alias", "challenger_alias", "uri"]
    with pytest.raises(ConfigError) as refused:
        Mlflow(uri="http://ada:secret@mlflow", champion_alias="x", challenger_alias="x")
    assert [each.path for each in refused.value.faults] == ["challenger_alias", "uri"]
    assert "secret" not in str(refused.value)


def test_words_that_are_none_are_refused() -> None:
    catalog = Mlflow(uri="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="expected one of pending, approved, rejected"):
        catalog.decide(GROUP, "1", "perhaps", by="", why="", now_s=NOW_S)  # type: ignore[arg-type]  # from a request
    with pytest.raises(ConfigError, match="expected finished or failed"):
        catalog.end("a" * 32, "running", now_s=NOW_S)
