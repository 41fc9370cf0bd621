"""The commands of `sidecar`, one a file. A command is imported when it is called, so that `run` serves at once."""

COMMANDS = {
    "run": ("sidecar.cli.run:run", "Stand in front of a model server, and watch."),
    "demo": ("sidecar.cli.demo:demo", "See it at work on a real model, without a network."),
    "status": ("sidecar.cli.status:status", "Tell how a running sidecar and its model are."),
    "top": ("sidecar.cli.top:top", "Watch a running sidecar live, in a terminal."),
    "baseline": ("sidecar.cli.baseline:baseline", "Learn the reference from training data or captured traffic."),
    "report": ("sidecar.cli.report:report", "Report what captured traffic is like, against the reference."),
    "labels": ("sidecar.cli.labels:labels", "Send labels, which say how good the predictions were."),
    "versions": ("sidecar.cli.versions:versions", "Keep the versions of a model, and change who serves whom."),
    "runs": ("sidecar.cli.runs:runs", "Log training runs into the catalogue."),
    "inject": ("sidecar.cli.inject:inject", "Put the sidecar into the pods of a Kubernetes manifest."),
    "inject-webhook": ("sidecar.cli.webhook:webhook", "Put it into the pods of a cluster, when they are made."),
    "redirect": ("sidecar.cli.redirect:redirect", "Lead a pod's inbound port to it, by the kernel's own rules."),
    "check": ("sidecar.cli.check:check", "Check a configuration without starting anything."),
    "completion": ("sidecar.cli.completion:completion", "Make a shell complete commands and options."),
}
"""Where each command is, and what it does, by its name; the order is the help's."""
