"""Sends one video through the pipeline, shows what becomes of it, and checks all of it.

It uses nothing but public APIs, found in TORPOR_GATEWAY, TORPOR_WORKFLOWS and TORPOR_DASHBOARD:
`torpor dev FOLDER --demo` sets them, and on a cluster they are where the Services are reached. Its
status is 0 only if everything was right.
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

import demo_checks
from demo_api import Apis, Wrong

CLIP_SECONDS = 8
LOOK_SECONDS = 0.25
BAR = 24
BEGAN = time.time()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clip", type=Path, help="a video to send; without it one is made")
    namespace = os.environ.get("TORPOR_NAMESPACE", "default")
    options.add_argument("--namespace", default=namespace, help="where the pipeline is")
    options.add_argument("--seconds", type=float, default=180, help="how long it may take in all")
    asked = options.parse_args()
    try:
        apis = Apis(os.environ, asked.namespace)
        with tempfile.TemporaryDirectory() as folder:
            demo = Demo(apis, Path(folder), time.time() + asked.seconds)
            return 0 if demo.run(asked.clip) else 1
    except (Wrong, OSError) as error:
        say(f"WRONG: {error}")
        return 1


class Demo:
    """One video on its way."""

    def __init__(self, apis, folder, deadline):
        self.apis = apis
        self.folder = folder
        self.deadline = deadline
        self.trace, self.root = secrets.token_hex(16), secrets.token_hex(8)

    def run(self, clip):
        """Return whether everything was right."""
        self.wait("every Trigger takes events", self.are_triggers_ready)
        clip = clip or self.made_clip()
        before, told = self.apis.snapshot(), set(self.happening())
        began = time.time()
        video = self.upload(clip)
        row = self.wait("the catalog has it", lambda: self.row(video, told))
        page = self.wait("the event that it is ready made its page", lambda: self.page(video))
        ended = time.time()
        self.apis.tell_root(self.trace, self.root, began, ended)
        right = self.check(video, row, page, clip)
        self.sum_up(row, began, ended, before)
        print(f"\n  video      {self.apis.gateway}/videos/{video}/")
        print(f"  dashboard  {self.apis.dashboard}   trace {self.trace}")
        print("  to look at both on this machine: torpor dev examples/video-pipeline")
        return right

    def wait(self, what, found):
        """Return what `found` returns once it is something; Wrong when the time is over."""
        while not (value := found()):
            if time.time() > self.deadline:
                raise Wrong(f"it took too long until {what}")
            time.sleep(LOOK_SECONDS)
        say(what)
        return value

    def are_triggers_ready(self):
        """Whether what comes now is news to each; one that is paused is so on purpose."""
        triggers = self.apis.snapshot()["triggers"]
        return triggers and all(each["state"] in ("ready", "paused") for each in triggers)

    def made_clip(self):
        file = self.folder / "clip.mp4"
        inputs = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"]
        inputs += ["-f", "lavfi", "-i", "sine=frequency=440", "-t", CLIP_SECONDS]
        demo_checks.ran("ffmpeg", "-v", "error", *inputs, "-preset", "ultrafast", file)
        say(f"ffmpeg made a clip of {CLIP_SECONDS} s")
        return file

    def upload(self, clip):
        trace = f"00-{self.trace}-{self.root}-01"
        headers = {"Content-Type": "application/octet-stream", "traceparent": trace}
        status, answered, body = self.apis.videos("", clip.read_bytes(), headers)
        if status not in (200, 202):
            raise Wrong(f"POST /videos answered {status}: {body[:300]!r}")
        woke = answered.get("X-Torpor-Cold-Start")
        video = json.loads(body)["id"]
        say(f"POST /videos  {status}  {video}{f'  cold start {woke} ms' if woke else ''}")
        return video

    def row(self, video, told):
        """Return the video's row, None while there is none; say what happens meanwhile."""
        for line in self.happening():
            if line not in told:
                told.add(line)
                say(line)
        status, _, body = self.apis.videos(f"/{video}")
        row = json.loads(body) if status == 200 else None
        if row and row["status"] != "ready":
            raise Wrong(row["problem"])
        return row

    def happening(self):
        seen = self.apis.snapshot()
        for execution in seen["executions"]:
            if execution["traceId"] == self.trace and execution["states"]:
                yield f"{execution['workflow']}  {' + '.join(execution['states'])}"
        for run in seen["runs"]:
            if run["traceId"] == self.trace and run["progress"]:
                ratio, attempt = run["progress"]["ratio"], run["attempt"]
                bar = ("█" * round(ratio * BAR)).ljust(BAR, "░")
                more = f"  attempt {attempt}" if attempt > 1 else ""
                yield f"{run['namespace']}/{run['function']}  {bar} {ratio:.0%}{more}"
        for function in seen["functions"]:
            for woke in reversed(function["coldStarts"]):
                parts = ", ".join(f"{k} {v:.0f}" for k, v in woke["phases"].items() if v >= 1)
                name = f"{function['namespace']}/{function['name']}"
                yield f"{name}  cold start {woke['totalMs']:.0f} ms ({parts})"

    def page(self, video):
        status, _, body = self.apis.videos(f"/{video}/")
        return body.decode() if status == 200 else None

    def check(self, video, row, page, clip):
        checks = [
            *demo_checks.files(self.apis, video, row, clip, self.folder),
            *demo_checks.ends(self.apis, video, row, page),
            demo_checks.one_trace(self.apis, self.trace),
        ]
        say("--- what was checked")
        for what, right in checks:
            print(f"  {'right' if right else 'WRONG'}  {what}")
        return all(right for _, right in checks)

    def sum_up(self, row, began, ended, before):
        say("--- summary")
        for name, seconds in self.steps(row["execution"], began, ended):
            print(f"  {name:22}{seconds:6.2f} s")
        after = self.apis.snapshot()
        woken = cold_starts(after) - cold_starts(before)
        longest, name = max(woken, default=(0, "none"))
        print(f"  {'cold starts':22}{len(woken):6}    the longest {longest:.0f} ms, of {name}")
        cost = after["cost"]
        if cost and before["cost"]:
            spent = float(cost["now"]) - float(before["cost"]["now"])
            print(f"  {'cost':22}{spent:.6f}  {cost['currency']}, by {cost['table']}")
        if row["cost"] is not None:
            print(f"  {'transcoding alone':22}{row['cost']:.6f}  USD, by prices of AWS Fargate")

    def steps(self, arn, began, ended):
        """Yield each step of the way with the seconds that it took, by when they began."""
        execution = self.apis.states("DescribeExecution", executionArn=arn)
        yield "upload, bucket, queue", execution["startDate"] - began
        asked = {"executionArn": arn, "maxResults": 1000}
        entered, took = {}, {}
        for event in self.apis.states("GetExecutionHistory", **asked)["events"]:
            for details in ("stateEnteredEventDetails", "stateExitedEventDetails"):
                name = event.get(details, {}).get("name")
                if name and details.startswith("stateEntered"):
                    entered[name] = event["timestamp"]
                elif name in entered:
                    took[name] = event["timestamp"] - entered[name]
        yield from ((f"  {name}", took[name]) for name in entered if name in took)
        yield "row, event, page", ended - execution["stopDate"]
        yield "all of it", ended - began


def cold_starts(seen):
    """Return the latest ones as milliseconds and the function's name."""
    found = seen["functions"]
    return {(woke["totalMs"], each["name"]) for each in found for woke in each["coldStarts"]}


def say(text):
    print(f"{time.time() - BEGAN:6.1f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
