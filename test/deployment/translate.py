"""Prints template.yaml after the SAM transform for a Region, as JSON.

usage: python3 translate.py REGION [PARAMETER=VALUE ...]
"""

import json
import logging
import os
import sys

region, *parameters = sys.argv[1:]
os.environ["AWS_DEFAULT_REGION"] = region
logging.disable(logging.CRITICAL)

from samtranslator.translator.managed_policy_translator import ManagedPolicyLoader
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies(ManagedPolicyLoader):
    """Without this, the translator reads all managed policies from IAM to find ARNs by name. The template uses none by name."""

    def __init__(self):
        self._policy_map = {}

    def load(self):
        return {}


root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
with open(os.path.join(root, "template.yaml")) as f:
    template = yaml_parse(f.read())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/key"  # as after `aws cloudformation package`
values = {"AWS::Region": region, **dict(p.split("=", 1) for p in parameters)}
print(json.dumps(transform(template, values, NoManagedPolicies())))
