"""The command line: ``dicomframe serve``, ``demo``, ``lab``, ``sync`` and ``doctor``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dicomframe._version import __version__
from dicomframe.errors import DicomFrameError

if TYPE_CHECKING:
    from dicomframe.client.client import Client


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What stands after the program's name; by default ``sys.argv[1:]``.

    Returns
    -------
    int
        0 when it worked, 1 with a message on standard error when it did not, or when the doctor found a failure.

    Raises
    ------
    SystemExit
        With 2, where an argument is none that is accepted: a file that is not there, for example.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except DicomFrameError as error:
        print(f"dicomframe: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"dicomframe: {_in_words(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dicomframe",
        description="DICOM on Azure as typed pandas tables, with a local service to learn and test on.",
    )
    parser.add_argument("--version", action="version", version=f"dicomframe {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="run the local DICOM service on loopback until interrupted",
        description="Run the local DICOM service. Its address is printed when it is ready; Ctrl-C ends it.",
    )
    serve.add_argument(
        "--port", type=_port, default=8080, help="0 takes any free port (default: %(default)s)"
    )
    serve.add_argument(
        "--data", type=_folder, metavar="DIR", help="keep its data here (default: a temporary folder)"
    )
    serve.add_argument("--samples", action="store_true", help="start with the teaching cohort in it")
    serve.add_argument("--partitions", action="store_true", help="switch data partitions on")
    serve.add_argument(
        "--strict",
        action="store_true",
        help="answer as the service on Azure does, also where the local one offers more (docs/servers.md)",
    )
    serve.add_argument("--token", metavar="T", help="demand this bearer token")
    serve.add_argument(
        "--read-only-token",
        metavar="T",
        help="a bearer token that may only read; without --token nobody may write",
    )
    serve.add_argument(
        "--operation-polls",
        type=_count,
        metavar="N",
        help="report long operations as running N times before they are done (default: run them at once)",
    )
    serve.add_argument(
        "--export-root",
        type=_folder,
        metavar="DIR",
        help="let exports write below this folder (default: nowhere)",
    )
    serve.add_argument(
        "--faults",
        type=_file,
        metavar="FILE",
        help="inject the faults in this JSON or TOML file (docs/faults.md)",
    )
    serve.set_defaults(run=_serve)

    demo = commands.add_parser(
        "demo",
        help="store sample studies in a local service, search them, draw a montage",
        description="Store real and generated studies in a local service, ask two questions of them, draw a montage.",
    )
    demo.add_argument(
        "--out",
        type=_folder,
        default="demo",
        metavar="DIR",
        help="where the picture goes (default: ./demo)",
    )
    demo.set_defaults(run=_demo)

    lab = commands.add_parser(
        "lab",
        help="open the lessons in JupyterLab, in a folder of your own",
        description="Copy the lessons (notebooks) into a folder and open them in JupyterLab.",
    )
    lab.add_argument(
        "folder",
        nargs="?",
        type=_folder,
        default="dicomframe-lessons",
        metavar="DIR",
        help="where the lessons are copied; what is there stays (default: ./%(default)s)",
    )
    lab.add_argument("--port", type=_port, default=8888, help="0 takes any free port (default: %(default)s)")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    lab.add_argument("--allow-root", action="store_true", help="run as root too, in a container for example")
    lab.set_defaults(run=_lab)

    sync = commands.add_parser(
        "sync",
        help="bring a lake of Delta tables up to date from a service's change feed",
        description="Make a lake, Delta tables of a service's studies, series and instances, or bring it up to date.",
    )
    sync.add_argument("url", metavar="URL", help="the service, https://...")
    sync.add_argument("lake", metavar="LAKE", help="a folder; it is made if it is not there")
    sync.add_argument("--follow", action="store_true", help="go on with what happens, until interrupted")
    sync.add_argument(
        "--interval",
        type=_count,
        default=30,
        metavar="S",
        help="seconds between questions while nothing happens (default: %(default)s)",
    )
    _add_access(sync)
    sync.set_defaults(run=_sync)

    doctor = commands.add_parser(
        "doctor",
        help="examine the way to a service; exit code 1 when something fails",
        description="Examine the way to a service step by step: name, connection, TLS, token, roles. It only reads.",
    )
    doctor.add_argument(
        "url", nargs="?", metavar="URL", help="default: $DICOMFRAME_URL, else the sample service"
    )
    _add_access(doctor)
    doctor.set_defaults(run=_doctor)
    return parser


def _add_access(command: argparse.ArgumentParser) -> None:
    """Add what tells how to speak to a service."""
    command.add_argument("--api-version", choices=("v1", "v2"), default="v2", help="default: %(default)s")
    command.add_argument("--partition", metavar="P", help="the data partition")
    command.add_argument(
        "--token-variable",
        metavar="NAME",
        help="the environment variable that holds a token (default: DefaultAzureCredential for an Azure service)",
    )


def _port(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return number


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a whole number, 0 or more, is accepted")
    return int(text)


def _file(text: str) -> Path:
    path = Path(text)
    try:
        if path.is_file():
            return path
        there = path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(_in_words(error)) from None
    raise argparse.ArgumentTypeError(f"{path} is no file; give one" if there else f"there is no file {path}")


def _folder(text: str) -> Path:
    """Take a path that is a folder, or can become one as far as what lies above it tells."""
    path = Path(text)
    try:
        there = next((each for each in (path, *path.parents) if os.path.lexists(each)), None)
        if there is None or there.is_dir():
            return path
    except OSError as error:
        raise argparse.ArgumentTypeError(_in_words(error)) from None
    raise argparse.ArgumentTypeError(f"{there} is a file, where a folder is needed; give another path")


def _in_words(error: OSError) -> str:
    """Say what the system says, without its number: ``/x/y: Permission denied``."""
    if error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror


def _serve(options: argparse.Namespace) -> None:
    from dicomframe.local import serve

    faults = None
    if options.faults is not None:
        from dicomframe.service.faultplan import read_settings

        faults = read_settings(options.faults)
    serve(
        options.data,
        options.port,
        samples=options.samples,
        partitions=options.partitions,
        strict=options.strict,
        token=options.token,
        read_only_token=options.read_only_token,
        faults=faults,
        operation_polls=options.operation_polls,
        export_root=options.export_root,
    )


def _demo(options: argparse.Namespace) -> None:
    from dicomframe.demo import run

    run(options.out)


def _lab(options: argparse.Namespace) -> int:
    from dicomframe.lessons import run

    flags = {"--no-browser": options.no_browser, "--allow-root": options.allow_root}
    given = [flag for flag, is_given in flags.items() if is_given]
    return run(options.folder, [f"--ServerApp.port={options.port}", *given])


def _connect(options: argparse.Namespace) -> Client:
    from dicomframe.local import connect

    token = None
    if options.token_variable is not None:
        token = os.environ.get(options.token_variable)
        if not token:
            # Somebody may have given the token instead of the name, and logs keep what is printed.
            raise DicomFrameError(
                "The environment variable that --token-variable names is not set, or empty. Give its name, without $."
            )
    return connect(options.url, token, api_version=options.api_version, partition=options.partition)


def _sync(options: argparse.Namespace) -> None:
    from dicomframe.lake.lake import sync

    with _connect(options) as client:
        lake = sync(client, options.lake, follow=options.follow, interval=options.interval)
        print(f"{options.lake}: up to date after change {lake.sequence:,}")


def _doctor(options: argparse.Namespace) -> int:
    from dicomframe.client.doctor import as_text

    with _connect(options) as client:
        checks = client.doctor()
    print(as_text(checks))
    return int((checks["status"] == "failed").any())
