"""`kbfleet-local`: the local AWS and what belongs to it, from the command line."""

import datetime
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kbfleet.bootstrap import KNOWLEDGE_STORES
from kbfleet.domain.printable import printable_json
from local import api_page, delays, deployment, rebuild_demo
from local import demo as demonstration
from local.identity_provider import DEFAULT_LIFETIME, IdentityProvider
from local.slack_sink import SlackSink, message_as_text
from local.stack import process, server
from local.stack.configuration import (
    DEFAULT_AWS_PORT,
    DEFAULT_SIDE_PORT,
    REPOSITORY,
    TOKEN_AUDIENCE,
    StackConfiguration,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The local AWS that kbfleet runs on.",
)
console = Console(highlight=False, soft_wrap=True, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

State = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="KBFLEET_LOCAL_STATE",
        help="Folder for the process id, logs, certificates and recorded messages.",
        resolve_path=True,
    ),
]
Port = Annotated[int, typer.Option("--port", help="Port of the AWS endpoint.")]
SidePort = Annotated[int, typer.Option("--side-port", help="Port of the identity provider and the Slack sink (https).")]
Region = Annotated[str, typer.Option("--region", help="AWS Region that the stack plays.")]
Speed = Annotated[float, typer.Option("--speed", help="How many times faster than AWS Bedrock's lifecycles run.")]
Concurrency = Annotated[int, typer.Option("--concurrency", help="Most environments of one function at a time.")]
Authorization = Annotated[
    bool, typer.Option("--authorization/--no-authorization", help="Check every call against IAM policies.")
]
AccountConcurrency = Annotated[
    int | None,
    typer.Option(
        "--account-concurrency",
        min=1,
        help="Most invocations of all functions at a time, as a new account's 10. More are throttled.",
    ),
]
Slow = Annotated[
    bool | None,
    typer.Option("--slow/--no-slow", help="Let things take the time that they take on AWS, or do them at once."),
]
Delay = Annotated[
    list[str] | None,
    typer.Option("--delay", help=f"NAME=SECONDS of AWS's time, of one thing: {', '.join(delays.AT_ONCE.listed())}."),
]


def _delays(slow: bool | None, changes: list[str] | None) -> delays.Delays:
    chosen = {None: delays.DEFAULT, True: delays.AS_ON_AWS, False: delays.AT_ONCE}[slow]
    seconds = {}
    for change in changes or []:
        name, _, value = change.partition("=")
        try:
            seconds[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{change!r} is not NAME=SECONDS", param_hint="--delay") from None
    try:
        return chosen.changed(seconds)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--delay") from error


def _known_store(value: str) -> str:
    if value not in KNOWLEDGE_STORES:
        raise typer.BadParameter(f"choose one of {', '.join(KNOWLEDGE_STORES)}")
    return value


KnowledgeStore = Annotated[
    str,
    typer.Option(callback=_known_store, help=f"Where tenants' vectors live by default: {', '.join(KNOWLEDGE_STORES)}."),
]
_COMMANDS = Path(sys.executable).parent
"""Of the virtual environment: kbfleet and kbfleet-local."""
DEFAULT_STATE = REPOSITORY / ".local"


@app.command()
def run(
    state: State = DEFAULT_STATE,
    port: Port = DEFAULT_AWS_PORT,
    side_port: SidePort = DEFAULT_SIDE_PORT,
    region: Region = "us-east-1",
    speed: Speed = 60.0,
    concurrency: Concurrency = 8,
    account_concurrency: AccountConcurrency = None,
    slow: Slow = None,
    delay: Delay = None,
    authorization: Authorization = False,
    corrections: Annotated[
        str | None, typer.Option(help="Names of the corrections to apply, with commas; all if not given.")
    ] = None,
) -> None:
    """Serve in the foreground, without deploying anything, until Ctrl-C."""
    server.run(
        StackConfiguration(
            state_directory=state,
            aws_port=port,
            side_port=side_port,
            region=region,
            speed=speed,
            function_concurrency=concurrency,
            account_concurrency=account_concurrency,
            delays=_delays(slow, delay),
            authorization=authorization,
            corrections=None if corrections is None else tuple(filter(None, corrections.split(","))),
        )
    )


@app.command()
def up(
    state: State = DEFAULT_STATE,
    port: Port = DEFAULT_AWS_PORT,
    side_port: SidePort = DEFAULT_SIDE_PORT,
    region: Region = "us-east-1",
    speed: Speed = 60.0,
    concurrency: Concurrency = 8,
    account_concurrency: AccountConcurrency = None,
    slow: Slow = None,
    delay: Delay = None,
    authorization: Authorization = False,
    knowledge_store: KnowledgeStore = deployment.DEFAULT_KNOWLEDGE_STORE,
    template: Annotated[Path, typer.Option(help="Template to deploy.", resolve_path=True)] = REPOSITORY
    / "template.yaml",
    parameter: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a template parameter, for other than the local values.")
    ] = None,
    deploy: Annotated[bool, typer.Option("--deploy/--no-deploy", help="Deploy the template.")] = True,
) -> None:
    """Start the local AWS in the background and deploy the template. On a running stack, deploy what changed."""
    running = process.running_stack(state)
    configuration = (
        running.configuration
        if running
        else StackConfiguration(
            state_directory=state,
            aws_port=port,
            side_port=side_port,
            region=region,
            speed=speed,
            function_concurrency=concurrency,
            account_concurrency=account_concurrency,
            delays=_delays(slow, delay),
            authorization=authorization,
        )
    )
    if running is None:
        with console.status("Starting the local AWS …"):
            running = process.start(configuration)
    console.print(f"Local AWS   {configuration.aws_url} (process {running.process_id}, log {configuration.log_file})")
    console.print(f"Side port   {configuration.side_url} (identity provider, Slack sink)")
    if not deploy:
        _print_way_in(state)
        return
    deployed = deployment.deploy(
        configuration,
        template=template,
        knowledge_store=knowledge_store,
        parameter_overrides=_parse_parameters(parameter),
        console=console,
    )
    if not deployed.changed:
        console.print("Nothing changed since the last deployment.")
    _print_outputs(deployed.outputs)
    if api_page.API_URL_OUTPUT in deployed.outputs:
        console.print(f"\nTo read about the API and try it:  {configuration.aws_url}{api_page.PATH}/")
    _print_way_in(state)


@app.command()
def down(state: State = DEFAULT_STATE) -> None:
    """Stop the local AWS, and wait until its processes have ended and its ports are free."""
    with console.status("Stopping the local AWS …"):
        stopped = process.stop(state)
    console.print("Stopped." if stopped else "Nothing is running.")


@app.command()
def status(state: State = DEFAULT_STATE) -> None:
    """Say whether the local AWS runs and where. Exit code 1 if it does not."""
    running = _require_running(state)
    configuration = running.configuration
    console.print(f"Local AWS   {configuration.aws_url} (process {running.process_id})")
    console.print(f"Side port   {configuration.side_url}")
    console.print(f"Ready       {'yes' if process.is_ready(configuration) else 'not yet'}")
    _print_outputs(deployment.read_outputs(configuration))


@app.command()
def env(state: State = DEFAULT_STATE) -> None:
    """Print what points a shell's AWS clients at the local AWS, and finds kbfleet's commands, to be evaluated."""
    configuration = _require_running(state).configuration
    variables = configuration.client_environment()
    if api_url := deployment.read_outputs(configuration).get(api_page.API_URL_OUTPUT):
        variables |= {"API_URL": api_url}
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo(f'export PATH={shlex.quote(str(_COMMANDS))}:"$PATH"')


@app.command()
def token(
    tenant: Annotated[str, typer.Argument(help="Tenant that the token is for.")],
    state: State = DEFAULT_STATE,
    audience: Annotated[str, typer.Option(help="Audience claim.")] = TOKEN_AUDIENCE,
    expires_in: Annotated[float, typer.Option(help="Seconds until it expires; negative for an expired one.")] = (
        DEFAULT_LIFETIME
    ),
    subject: Annotated[str, typer.Option(help="Subject claim.")] = "developer",
) -> None:
    """Print a signed token of the identity provider, for trying `POST /ask`."""
    configuration = _require_running(state).configuration
    provider = IdentityProvider.open(configuration.token_issuer, configuration.signing_key)
    typer.echo(provider.mint(tenant, audience=audience, expires_in=expires_in, subject=subject))


@app.command()
def slack(
    state: State = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print the messages that the Slack sink has taken, oldest first."""
    configuration = _require_running(state).configuration
    records = SlackSink(configuration.slack_messages).messages()
    if not records:
        errors.print("Slack was sent nothing yet.")
    for record in records:
        if as_json:
            typer.echo(printable_json(json.dumps(record, ensure_ascii=False)))
            continue
        received = datetime.datetime.fromtimestamp(record["received_at"]).astimezone()
        console.rule(f"{received:%H:%M:%S}", align="left")
        console.print(message_as_text(record["message"]), markup=False)


@app.command()
def demo(state: State = DEFAULT_STATE) -> None:
    """Play and check the product's whole story. On a stack that `up` keeps running, or on one of its own."""
    raise typer.Exit(demonstration.run(state, console))


@app.command("demo-rebuild")
def play_rebuild(state: State = DEFAULT_STATE) -> None:
    """Play and check the story of a rebuild, which needs what reads scans (`make scans`). Else as `demo`."""
    raise typer.Exit(rebuild_demo.run(state, console))


def _print_way_in(state: Path) -> None:
    command = f"{shlex.quote(str(_COMMANDS / 'kbfleet-local'))} env{_of(state)}"
    console.print(f'\nFor boto3, the AWS CLI and kbfleet in a shell:  eval "$({command})"', markup=False)


def _print_outputs(outputs: dict[str, str]) -> None:
    width = max(map(len, outputs), default=0)
    for name, value in outputs.items():
        console.print(f"{name:<{width}}  {value}")


def _require_running(state: Path) -> process.RunningStack:
    running = process.running_stack(state)
    if running is None:
        errors.print(f"The local AWS does not run. Start it with: kbfleet-local up{_of(state)}", markup=False)
        raise typer.Exit(1)
    return running


def _of(state: Path) -> str:
    """What the other commands need to find the same stack, also in a shell without KBFLEET_LOCAL_STATE."""
    return "" if state == DEFAULT_STATE else f" --state {shlex.quote(str(state))}"


def _parse_parameters(assignments: list[str] | None) -> dict[str, str]:
    parameters = {}
    for assignment in assignments or []:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise typer.BadParameter(f"{assignment!r} is not NAME=VALUE", param_hint="--parameter")
        parameters[name] = value
    return parameters


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except (process.StackRunningError, process.StackStartError, deployment.DeploymentError) as error:
        errors.print(f"[red]{type(error).__name__}[/red]", end=" ")
        errors.print(str(error), markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
