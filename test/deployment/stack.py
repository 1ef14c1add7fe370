"""A stand-in of AWS on loopback. The AWS CLI can deploy this project's template to it, and curl can then call the API.

usage: AWS_DEFAULT_REGION=us-west-2 python3 stack.py PORT     (ends when its standard input is closed, or by a signal)

It is moto (https://docs.getmoto.org) with the features that a deploy of functions in Go needs and moto does not have:

  the template      aws-sam-translator does the AWS::Serverless transform for the Region of the environment. The paths of an API's OpenAPI
                    body become resources and methods. Stacks that are created by change sets have outputs
  the functions     the bootstrap of the deployed zip file runs with a Runtime API, by qemu-aarch64 if it is for arm64
  the event source  receives messages from a queue one by one (those of FIFO queues by message group) and calls the function with them
  the permissions   a function calls AWS with its own credentials, and only calls that its role's own statements allow succeed. GET
                    /deployment/permissions returns the actions that each function has tried and those that it may use
  the gateway       answers requests whose Host is <api>.execute-api.<region>.amazonaws.com, with Lambda proxy integrations and the API's
                    own gateway responses

It ignores throttling, concurrency (a function has one process), compression, resource and bucket policies, conditions of statements,
schedules and alarms. It is only for tests on this machine and only listens on 127.0.0.1. It works with moto 5.2.1 and
aws-sam-translator 1.110.
"""

import atexit
import copy
import fnmatch
import http
import http.server
import io
import json
import os
import queue
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import zipfile
from urllib.parse import parse_qsl

PORT = int(sys.argv[1])
ACCOUNT = "123456789012"
os.environ["MOTO_PORT"] = str(PORT)
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"  # docs/deploy.md attaches one
os.environ.pop("AWS_ENDPOINT_URL", None)

import moto.server
from moto.apigateway.models import RestAPI, apigateway_backends
from moto.awslambda.models import LambdaBackend, LambdaFunction, lambda_backends
from moto.cloudformation.models import ChangeSet, Stack
from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import AccessDeniedError
from moto.iam.models import Role, iam_backends
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.exceptions import S3AccessDeniedError
from moto.sqs.models import Queue, sqs_backends
from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

# ---- the template


class NoManagedPolicies(ManagedPolicyLoader):
    """Without this, the translator reads all managed policies from IAM to find ARNs by name. The template uses none by name."""

    def __init__(self):
        self._policy_map = {}

    def load(self):
        return {}


parsed = {}  # a deploy parses the same template several times, and the translator takes a second


def parse(template, parameters=None):
    """Returns the template after its transform, as CloudFormation does before it creates resources."""
    if not template:
        return {}
    key = json.dumps([template, parameters], sort_keys=True, default=str)
    if key not in parsed:
        parsed[key] = translate(template, parameters)
    return copy.deepcopy(parsed[key])


def translate(template, parameters):
    document = yaml_parse(template) if isinstance(template, str) else copy.deepcopy(template)
    if document.get("Transform") == "AWS::Serverless-2016-10-31":
        values = {"AWS::Region": os.environ["AWS_DEFAULT_REGION"], **(parameters or {})}
        document = transform(document, values, NoManagedPolicies())
        document.pop("Transform", None)
    document = json.loads(json.dumps(document, default=str))
    resources = document.get("Resources", {})
    for name, resource in list(resources.items()):
        if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
            resource["DeletionPolicy"] = "Retain"  # moto only supports this
        if resource["Type"] == "AWS::ApiGateway::RestApi":
            expand(name, resource["Properties"], resources)
    if resources:
        # moto creates resources in this order, so resources that refer to methods must come after them.
        late = ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage", "AWS::Lambda::Permission")
        document["Resources"] = dict(sorted(resources.items(), key=lambda item: item[1]["Type"] in late))
    return document


def expand(api, properties, resources):
    """Replaces an API's OpenAPI body by resources and methods, which moto supports."""
    properties.setdefault("Name", {"Ref": "AWS::StackName"})
    body = properties.pop("Body", None)
    if not body:
        return
    properties["GatewayResponses"] = body.get("x-amazon-apigateway-gateway-responses", {})
    stages = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::ApiGateway::Stage"]
    properties["Stages"] = [stage["StageName"] for stage in stages if stage["RestApiId"] == {"Ref": api}]
    made = {}

    def resource(path):
        if path == "":
            return {"Fn::GetAtt": [api, "RootResourceId"]}
        if path not in made:
            parent, part = path.rsplit("/", 1)
            made[path] = api + "Res" + re.sub(r"\W", "", path.title())
            resources[made[path]] = {
                "Type": "AWS::ApiGateway::Resource",
                "Properties": {"RestApiId": {"Ref": api}, "ParentId": resource(parent), "PathPart": part},
            }
        return {"Ref": made[path]}

    methods = []
    for path, operations in body["paths"].items():
        path = path.rstrip("/")
        for verb, operation in operations.items():
            integration = operation.get("x-amazon-apigateway-integration", {})
            if "uri" not in integration:
                continue
            verb = "ANY" if verb.startswith("x-amazon") else verb.upper()
            method = api + verb + re.sub(r"\W", "", path.title())
            if method in methods:
                raise ValueError(f"two methods for {verb} {path}: API Gateway refuses this import")
            methods.append(method)
            resources[method] = {
                "Type": "AWS::ApiGateway::Method",
                "Properties": {
                    "RestApiId": {"Ref": api},
                    "ResourceId": resource(path),
                    "HttpMethod": verb,
                    "AuthorizationType": "NONE",
                    "Integration": {
                        "Type": integration["type"].upper(),
                        "IntegrationHttpMethod": integration["httpMethod"],
                        "Uri": integration["uri"],
                    },
                },
            }
    for other in resources.values():
        if other["Type"] in ("AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"):
            other["DependsOn"] = methods


def parse_change_set(self):
    self.template_dict = parse(self.template, self.parameters)


def parse_stack(self):
    self.template_dict = parse(self.template, getattr(self, "parameters", None))


def same_template(self, other):
    return parse(self.template, self.parameters) == parse(other, self.parameters)


def same_parameters(self, other):
    """The AWS CLI sends all parameters when it updates a stack, and only the given ones when it creates a stack."""
    return all(str(self.stack_parameters.get(name)) == str(value) for name, value in other.items())


def apply_change_set(self):
    stack = self.stack
    stack.template, stack.template_dict, stack.parameters = self.template, self.template_dict, self.parameters
    if self.change_set_type == "CREATE":
        stack.resource_map = stack._create_resource_map()
        stack.resource_map.create(stack.template_dict)
    else:
        # moto treats a parameter as changed if its value is a default or has another type.
        known = stack.resource_map.input_parameters = dict(stack.stack_parameters)
        same = {name: known[name] for name, value in self.parameters.items() if str(known.get(name)) == str(value)}
        stack.resource_map.update(self.template_dict, {**self.parameters, **same})
    stack.output_map = stack._create_output_map()


def keeping(cls, method, keep):
    """Wraps a factory of moto, so that its objects keep properties that moto ignores."""
    original = getattr(cls, method).__func__

    def wrapped(klass, *args, **kwargs):
        made = original(klass, *args, **kwargs)
        if made is None:  # moto cannot update this resource, and keeps it
            made = kwargs.get("original_resource", args[0] if args else None)
        document = next(a for a in (*args, *kwargs.values()) if isinstance(a, dict) and "Properties" in a)
        keep(made, document["Properties"])
        return made

    setattr(cls, method, classmethod(wrapped))


def keep_gateway(api, properties):
    api.template_responses, api.template_stages = properties.get("GatewayResponses", {}), properties.get("Stages", [])


def keep_log_group(function, properties):
    function.logs_group_name = properties.get("LoggingConfig", {}).get("LogGroup", function.logs_group_name)


def keep_policies(role, properties):
    for name in list(role.policies):
        role.delete_policy(name)
    for policy in properties.get("Policies", []):
        role.put_policy(policy["PolicyName"], policy["PolicyDocument"])


Stack._parse_template = parse_stack
Stack.has_template = same_template
Stack.has_parameters = same_parameters
ChangeSet._parse_template = parse_change_set
ChangeSet.apply = apply_change_set
for factory in ("create_from_cloudformation_json", "update_from_cloudformation_json"):
    keeping(RestAPI, factory, keep_gateway)
    keeping(LambdaFunction, factory, keep_log_group)
keeping(Role, "update_from_cloudformation_json", keep_policies)

# ---- the functions


class RuntimeAPI(http.server.BaseHTTPRequestHandler):
    """The HTTP handler of the Runtime API that a bootstrap calls. The attribute `process` of its server is the process."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        request_id, event, deadline = self.server.process.events.get()
        body = json.dumps(event).encode()
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int(deadline * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", self.server.process.arn)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.body()
        *_, request_id, outcome = self.path.split("/")
        waiting = self.server.process.answers.get(request_id)
        if waiting:
            waiting.put((body.decode(), outcome == "error"))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.close_connection = True
        body = b""
        while size := int(self.rfile.readline().strip(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        return body


class Process:
    """A running process of a function, which handles one event at a time."""

    def __init__(self, function):
        self.arn = function.function_arn
        self.events, self.answers, self.lock = queue.Queue(), {}, threading.Lock()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeAPI)
        server.process = self
        threading.Thread(target=server.serve_forever, daemon=True).start()
        folder = tempfile.mkdtemp(prefix="function-")
        with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as code:
            code.extractall(folder)
        bootstrap = os.path.join(folder, "bootstrap")
        os.chmod(bootstrap, 0o755)
        command = (["qemu-aarch64"] if is_arm64(bootstrap) else []) + [bootstrap]
        environment = self.environment(function, folder, server.server_port)
        log = os.path.join(folder, "log")
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=out)
        self.log = open(log, "rb")
        atexit.register(self.end)

    def environment(self, function, folder, port):
        return {
            "PATH": "/usr/bin:/bin",
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_ACCESS_KEY_ID": credentials_of(function),
            "AWS_SECRET_ACCESS_KEY": "deployment",
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "_HANDLER": function.handler,
            "LAMBDA_TASK_ROOT": folder,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}",
            **{name: str(value) for name, value in function.environment_vars.items()},
        }

    def end(self):
        self.popen.kill()
        self.popen.wait()

    def call(self, event, timeout):
        """Returns the response, whether it is an error, and the log output of the call."""
        with self.lock:
            request_id = str(uuid.uuid4())
            answer = self.answers[request_id] = queue.Queue()
            self.events.put((request_id, event, time.time() + timeout))
            try:
                out, failed = answer.get(timeout=timeout)
            except queue.Empty:
                out, failed = json.dumps({"errorMessage": f"Task timed out after {timeout} seconds"}), True
            del self.answers[request_id]
            return out, failed, self.log.read().decode(errors="replace")


def is_arm64(executable):
    with open(executable, "rb") as f:
        return f.read(20)[18] == 0xB7


processes = {}
starting = threading.Lock()


def invoke(function, event=None):
    key = (function.function_arn, function.code_sha_256, json.dumps(function.environment_vars, sort_keys=True))
    with starting:
        if key not in processes:
            processes[key] = Process(function)
    if isinstance(event, (str, bytes)):
        event = json.loads(event or "{}")
    out, failed, log = processes[key].call(event or {}, float(function.timeout or 3))
    keep_log(function, log)
    return out, failed, log


def keep_log(function, log):
    logs, group, stream = function.logs_backend, function.logs_group_name, "[$LATEST]" + secrets.token_hex(16)
    logs.ensure_log_group(group)
    logs.create_log_stream(group, stream)
    now = int(time.time() * 1000)
    logs.put_log_events(group, stream, [{"timestamp": now, "message": line} for line in log.splitlines()])


LambdaFunction._invoke_lambda = invoke

# ---- the event source


def with_suffix(klass, resource_name, document, *args, **kwargs):
    """moto gives each queue a name. The name of a FIFO queue must end in .fifo, which moto does not ensure."""
    if str(document["Properties"].get("FifoQueue")).lower() == "true":
        resource_name = resource_name[:75] + ".fifo"
    return create_queue(klass, resource_name, document, *args, **kwargs)


def create_mapping_with_thread(self, spec):
    """moto calls the function during the call that sends a message, so a function that sends to its own queue would wait for itself.
    Therefore moto gets no mapping, and a separate thread receives each message from the queue."""
    mapping = create_mapping(self, spec)
    queue = next(q for q in sqs_backends[ACCOUNT][self.region_name].queues.values() if q.queue_arn == mapping.event_source_arn)
    queue.lambda_event_source_mappings.clear()
    mappings.setdefault(queue.queue_arn, []).append(mapping)
    return mapping


def add_and_call(self, message):
    with receiving:
        add_message(self, message)
    for mapping in mappings.get(self.queue_arn, ()):
        threading.Thread(target=poll, args=(self, mapping), daemon=True).start()


def poll(queue, mapping):
    """Calls a function with messages of the queue until no message can be received. The other messages of a FIFO queue's message group
    wait until the received one is deleted. If a call fails, its message stays hidden for the queue's visibility timeout."""
    functions, queues = lambda_backends[ACCOUNT][queue.region], sqs_backends[ACCOUNT][queue.region]
    while mapping.uuid in functions._event_source_mappings and queue.name in queues.queues:
        function = functions.get_function(mapping.function_arn)
        for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"):
            if not allowed(function, action, queue.queue_arn):
                print(f"{function.function_name} may not {action} on {queue.queue_arn}", flush=True)
                return
        with receiving:
            messages = queues.receive_message(queue.name, mapping.batch_size, 0, queue.visibility_timeout)
        if not messages:
            return
        _, failed, _ = invoke(function, {"Records": [record_of(queue, message) for message in messages]})
        if not failed:
            with receiving:
                for message in messages:
                    queues.delete_message(queue.name, message.receipt_handle)


def record_of(queue, message):
    attributes = {
        "ApproximateReceiveCount": str(message.approximate_receive_count),
        "SentTimestamp": str(int(message.sent_timestamp)),
        "SenderId": "AIDADEPLOYMENT",
        "ApproximateFirstReceiveTimestamp": str(int(message.approximate_first_receive_timestamp)),
    }
    if queue.fifo_queue:
        attributes |= {"MessageGroupId": message.group_id, "MessageDeduplicationId": message.deduplication_id}
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": {},
        "md5OfBody": message.body_md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue.queue_arn,
        "awsRegion": queue.region,
    }


mappings = {}  # ARN of a queue: its mappings
receiving = threading.RLock()  # moto loses messages that are added while another message is deleted
create_queue = Queue.create_from_cloudformation_json.__func__
create_mapping = LambdaBackend.create_event_source_mapping
add_message = Queue.add_message
Queue.create_from_cloudformation_json = classmethod(with_suffix)
LambdaBackend.create_event_source_mapping = create_mapping_with_thread
Queue.add_message = add_and_call

# ---- the permissions

functions_by_key = {}  # access key: function
tried = {}  # access key: actions


def credentials_of(function):
    """Returns an access key that identifies the function when it calls AWS."""
    key = "AKIA" + secrets.token_hex(8).upper()
    functions_by_key[key] = function
    return key


def authorize(self, _, resource="*"):
    """moto calls this for each request to AWS. Every caller that is not a function has all permissions."""
    scope = re.search(r"Credential=([^/]+)/[^/]+/([^/]+)/([^/]+)/", self.headers.get("Authorization", ""))
    function = scope and functions_by_key.get(scope[1])
    if not function:
        return
    region, service = scope[2], scope[3]
    name = self.data.get("Action") or self._get_action()
    action = f"{service}:{name[0] if isinstance(name, list) else name}"
    if action == "sqs:SendMessageBatch":  # IAM has one action for both calls
        action = "sqs:SendMessage"
    if service == "ecr":
        request = json.loads(self.body)
        resource = f"arn:aws:ecr:{region}:{request.get('registryId', ACCOUNT)}:repository/{request.get('repositoryName', '*')}"
    tried.setdefault(scope[1], set()).add(action)
    if not allowed(function, action, resource):
        print(f"{function.function_name} may not {action} on {resource}", flush=True)
        raise S3AccessDeniedError() if service == "s3" else AccessDeniedError(user_arn=function.role, action=action)


def allowed(function, action, resource):
    decisive = [s for s in statements(function) if matches(s["Action"], action) and matches(s["Resource"], resource)]
    return bool(decisive) and all(statement["Effect"] == "Allow" for statement in decisive)


def statements(function):
    """Returns the statements of the role's inline policies, without the managed policies for logs and traces."""
    role = iam_backends[ACCOUNT]["aws"].get_role(function.role.split("/")[-1])
    for policy in role.policies.values():
        # moto leaves a null in place of AWS::NoValue
        yield from filter(None, (json.loads(policy) if isinstance(policy, str) else policy)["Statement"])


def matches(patterns, value):
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in listed(patterns))


def listed(value):
    return value if isinstance(value, list) else [value]


def permissions():
    return [
        {
            "function": function.function_name,
            "tried": sorted(tried.get(key, ())),
            "may": sorted({action for statement in statements(function) for action in listed(statement["Action"])}),
        }
        for key, function in functions_by_key.items()
    ]


ActionAuthenticatorMixin._authenticate_and_authorize_action = authorize

# ---- the gateway


class Refused(Exception):
    """An error of the gateway: a type of gateway response, with API Gateway's default status and text for it."""

    def __init__(self, kind, status, message):
        super().__init__(kind)
        self.kind, self.status, self.message = kind, status, message


def gateway(environ, start_response, api_id, region):
    api = apigateway_backends[ACCOUNT][region].apis.get(api_id)
    try:
        if not api:
            raise Refused("DEFAULT_4XX", 403, "Forbidden")
        status, headers, body = proxy(environ, api, region)
    except Refused as refused:
        status, headers, body = gateway_response(api, refused)
    if environ["REQUEST_METHOD"] == "HEAD":
        body = b""
    start_response(f"{status} {http.HTTPStatus(status).phrase}", headers)
    return [body]


def gateway_response(api, refused):
    """Returns the gateway response that the API defines for the type, or else for DEFAULT_4XX or DEFAULT_5XX."""
    responses = api.template_responses if api else {}
    own = responses.get(refused.kind) or responses.get(f"DEFAULT_{refused.status // 100}XX") or {}
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": refused.kind}
    for name, value in own.get("responseParameters", {}).items():
        headers[name.removeprefix("gatewayresponse.header.")] = value.strip("'")
    body = own.get("responseTemplates", {}).get("application/json", json.dumps({"message": refused.message}))
    return int(own.get("statusCode", refused.status)), list(headers.items()), body.encode()


def proxy(environ, api, region):
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
    raw = re.sub(r"^https?://[^/]+", "", raw).split("?")[0]
    _, stage, *parts = raw.split("/")
    path = "/" + "/".join(parts)
    resource, parameters, method = route(api, path, environ["REQUEST_METHOD"])
    if stage not in api.template_stages or not method:
        raise Refused("MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token")
    name = re.search(r"functions/(arn:[^/]+)/invocations", method.method_integration.uri)[1]
    function = lambda_backends[ACCOUNT][region].get_function(name)
    out, failed, _ = invoke(function, proxy_event(environ, api, stage, path, resource, parameters))
    try:
        answer = json.loads(out)
    except ValueError:
        answer = None
    known = {"statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"}
    if failed or not isinstance(answer, dict) or "statusCode" not in answer or set(answer) - known:
        raise Refused("DEFAULT_5XX", 502, "Internal server error")
    return answer["statusCode"], proxy_headers(answer), (answer.get("body") or "").encode()


def route(api, path, verb):
    """Returns the matching resource with the fewest variables, their values, and its method or None. A trailing slash is ignored."""
    best, values = None, {}
    for resource in api.resources.values():
        pattern = re.sub(r"\\{(\w+)\\\+\\}", r"(?P<\1>.+)", re.escape(resource.get_path()))
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", pattern)
        match = re.fullmatch(pattern, path.rstrip("/") or "/")
        if match and (best is None or resource.get_path().count("{") < best.get_path().count("{")):
            best, values = resource, match.groupdict()
    if not best:
        return None, {}, None
    return best, values, best.resource_methods.get(verb) or best.resource_methods.get("ANY")


def proxy_event(environ, api, stage, path, resource, parameters):
    headers = {}
    for key, value in environ.items():
        if key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value):
            headers["-".join(word.capitalize() for word in key.removeprefix("HTTP_").split("_"))] = [value]
    query = {}
    for key, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True):
        query.setdefault(key, []).append(value)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length).decode("utf-8", "replace") if length else None
    verb = environ["REQUEST_METHOD"]
    return {
        "resource": resource.get_path(),
        "path": path,
        "httpMethod": verb,
        "headers": {k: v[-1] for k, v in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {k: v[-1] for k, v in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": api.id,
            "stage": stage,
            "domainName": environ["HTTP_HOST"],
            "domainPrefix": api.id,
            "path": f"/{stage}{path}",
            "httpMethod": verb,
            "resourcePath": resource.get_path(),
            "requestId": str(uuid.uuid4()),
            "protocol": "HTTP/1.1",
            "identity": {"sourceIp": environ.get("REMOTE_ADDR"), "userAgent": environ.get("HTTP_USER_AGENT")},
        },
    }


# Headers of a function's response that the gateway renames.
REMAPPED = {
    *("authorization", "connection", "content-length", "content-md5", "date", "expect", "host", "max-forwards"),
    *("proxy-authenticate", "server", "trailer", "upgrade", "user-agent", "www-authenticate"),
}


def proxy_headers(answer):
    headers = [(k, v) for k, values in (answer.get("multiValueHeaders") or {}).items() for v in values]
    headers += [(k, str(v)) for k, v in (answer.get("headers") or {}).items()]
    headers = [("x-amzn-Remapped-" + k if k.lower() in REMAPPED else k, v) for k, v in headers]
    if not any(k.lower() == "content-type" for k, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return headers


# ---- the server

moto_call = DomainDispatcherApplication.__call__


def dispatch(self, environ, start_response):
    if environ["PATH_INFO"] == "/deployment/permissions":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(permissions()).encode()]
    host = re.fullmatch(r"([a-z0-9]+)\.execute-api\.([a-z0-9-]+)\.amazonaws\.com", environ.get("HTTP_HOST", ""))
    if host:
        return gateway(environ, start_response, host[1], host[2])
    return moto_call(self, environ, start_response)


def end_with_input():
    """Ends the process when the test has ended, even if the test was killed."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


DomainDispatcherApplication.__call__ = dispatch
threading.Thread(target=end_with_input, daemon=True).start()
moto.server.main(["-H", "127.0.0.1", "-p", str(PORT)])
