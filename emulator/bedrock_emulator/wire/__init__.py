"""What goes over the wire: requests, answers, errors and pages in the forms of botocore's service models."""
