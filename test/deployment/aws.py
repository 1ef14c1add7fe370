"""The AWS CLI without its slow start: this process loads the CLI's code once, and forks for each command.

usage: python3 aws.py FOLDER     (ends when its standard input is closed)

It creates the command `aws` in FOLDER, then prints a line. The command sends its arguments, folder, environment and standard files to this
process, in which a child runs the CLI's own main function with them. FOLDER/calls gets the arguments of each command. It needs version 1
of the AWS CLI, which is a Python package.
"""

import json
import os
import select
import signal
import socket
import sys

import awscli.clidriver
import botocore.session

FOLDER = os.path.abspath(sys.argv[1])
CLIENT = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, [b"-"], [0, 1, 2])
connection.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
connection.shutdown(socket.SHUT_WR)
sys.exit(int(connection.recv(8) or 255))
"""


def load():
    """Loads the modules that the CLI would load during a command."""
    awscli.clidriver.create_clidriver()
    session = botocore.session.Session()
    session.set_credentials("any", "any")
    for service in ("cloudformation", "s3", "sts"):
        session.create_client(service, region_name="us-west-2")


def main():
    load()
    address = os.path.join(FOLDER, "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    client = os.path.join(FOLDER, "aws")
    with open(client, "w") as file:
        file.write(CLIENT.format(python=sys.executable, address=address))
    os.chmod(client, 0o755)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the children leave no zombies
    print("ready", flush=True)
    while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            serve(connection)
        connection.close()


def serve(connection):
    """Runs a command in the process of this call, which it ends."""
    status = 255
    try:
        _, files, _, _ = socket.recv_fds(connection, 1, 3)
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        args, folder, environment = json.load(connection.makefile())
        with open(os.path.join(FOLDER, "calls"), "a") as calls:
            calls.write(" ".join(args) + "\n")
        status = run(args, folder, environment)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        connection.sendall(b"%d" % status)
        os._exit(0)


def run(args, folder, environment):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    environment.setdefault("AWS_DATA_PATH", os.environ["AWS_DATA_PATH"])  # package awscli sets it
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv[1:] = args
    try:
        return awscli.clidriver.main() or 0
    except SystemExit as end:
        return end.code or 0


main()
