"""The log of every function: a JSON object a line, by Powertools."""

from __future__ import annotations

from aws_lambda_powertools import Logger

logger = Logger()
