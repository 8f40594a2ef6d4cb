#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The main job, shown: manifests become virtual servers, requests are answered by Pods' stand-ins.

Started by ./demo in namespaces of its own, or in the guest. Reads a folder of manifests, starts a
stand-in for each Pod that would run, and vipd; shows the kernel's table; sends requests; scales a
Service under load; says whether all of it was right. Exit code: 0 it was, 1 it was not, 2 it could
not be tried.
"""
import argparse
import asyncio
import collections
import itertools
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import clients
import lab
import model
import workloads
from lab import daemon
from terminal import Terminal, count, spread

HERE = pathlib.Path(__file__).resolve().parent
PODS_FILE = "vipd-demo-pods.json"
OUTSIDE_TIMES, INSIDE_TIMES = 30, 10  # requests to each Service port
RATE, KEPT = 300, 50  # of the load: new connections a second, connections kept open
PHASE_SEC = 2.5
GRACE_SEC = 1.5  # how long a removed Pod goes on answering, as terminating Pods do
SHOWN_MAX = 40  # lines of a table


class CannotShow(Exception):
    """There is nothing to show with these manifests, or on this machine: says why."""


class StandInServer:
    """The one process that answers for all stand-ins."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = subprocess.Popen([sys.executable, "-B", str(HERE / "standins.py")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def command(self, **command):
        with self.lock:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise CannotShow(f"stand-in {command}: {answer or 'the server ended'}")

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Show:
    """One run of the demo."""

    def __init__(self, args, terminal, work):
        self.args, self.out = args, terminal
        self.app = workloads.read_application(args.folder)
        self.servers = self.hosts = None
        self.daemon = daemon.Daemon(work)
        self.folder = self.daemon.manifests
        self.pod_hosts = {}  # title -> network namespace
        self.by_addr = {}  # address -> stand-in
        self.trouble = []  # what was not as it should be

    # ---- setting up ----

    def copy_manifests(self):
        for path in workloads.manifest_files(self.args.folder):
            shutil.copy(path, self.folder / path.name)

    def start_standin(self, standin):
        host = self.hosts.add_pod(standin.addrs)
        self.servers.command(start=standin.title, netns=host, addrs=standin.addrs,
                             ports=sorted(standin.ports))
        self.pod_hosts[standin.title] = host
        for addr in standin.addrs:
            self.by_addr[addr] = standin

    def write_pods(self):
        """As an editor saves: written beside, then renamed over."""
        beside = self.folder / f".{PODS_FILE}"
        beside.write_text(workloads.pods_file(self.app.standins, lab.NODE), encoding="utf-8")
        beside.rename(self.folder / PODS_FILE)

    def set_up(self):
        self.copy_manifests()
        workloads.assign_addresses(self.app.standins, lab.POD_NETWORKS)
        self.hosts = lab.Lab()
        self.servers = StandInServer()
        for standin in self.app.standins:
            self.start_standin(standin)
        self.write_pods()

    def tear_down(self):
        self.daemon.stop()
        if self.servers:
            self.servers.stop()

    # ---- 1: what would run ----

    def show_manifests(self):
        by_workload = collections.Counter(one.workload for one in self.app.standins)
        rows = [(title, count(n, "stand-in"), self.ports_of(title))
                for title, n in by_workload.items()]
        self.out.say(f"  {count(len(self.app.services), 'Service')}; "
                     f"{count(len(self.app.standins), 'Pod')} would run:")
        self.show_table(rows)
        for text in self.app.notes:
            self.out.note(text)

    def ports_of(self, workload):
        ports = {port for one in self.app.standins if one.workload == workload for port in one.ports}
        return ", ".join(f"{number}/{protocol}" for protocol, number in sorted(ports)) or "no port"

    def show_table(self, rows):
        self.out.table(rows[:SHOWN_MAX], indent="    ")
        if len(rows) > SHOWN_MAX:
            self.out.say(f"    and {len(rows) - SHOWN_MAX} more")

    # ---- 2: in the kernel ----

    def program(self):
        self.out.command(self.daemon.argv())
        start = time.monotonic()
        self.daemon.start()
        self.daemon.settle()
        seconds = time.monotonic() - start
        frontends = model.parse(self.daemon.run("--print=model")[1])
        self.out.say(f"  {count(len(frontends), 'virtual server')} in the kernel after {seconds:.1f} s")
        rows = [(one.owner, str(self.target_of(one)), self.behind(one)) for one in frontends]
        self.show_table(rows)
        for text in self.complaints():
            self.out.note("vipd says: " + text)
            self.expect(False, text)
        self.show_kernel_table()
        return frontends

    @staticmethod
    def target_of(frontend):
        return clients.Target(frontend.protocol, frontend.addr, frontend.port)

    def complaints(self):
        """What is not in order, in vipd's own words."""
        log = self.daemon.log_path.read_text(encoding="utf-8", errors="replace")
        return [line.split('msg="not in order" ', 1)[1] for line in log.split("\n")
                if 'msg="not in order"' in line]

    def behind(self, frontend):
        if not frontend.endpoints:
            return "no endpoint: refuses"
        names = [self.by_addr[addr].name if addr in self.by_addr else addr
                 for addr in frontend.endpoints]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return "-> " + ", ".join(names[:4]) + more

    def show_kernel_table(self):
        argv = [self.args.vipctl, "-L", "-n"] if self.args.vipctl else ["ipvsadm", "-L", "-n"]
        if shutil.which(argv[0]) is None:
            return
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        lines = done.stdout.rstrip().split("\n")
        self.out.say()
        self.out.command([os.path.basename(argv[0]), *argv[1:]])
        self.out.block("\n".join(lines[:SHOWN_MAX]))
        if len(lines) > SHOWN_MAX:
            self.out.say(f"    and {len(lines) - SHOWN_MAX} more lines")

    # ---- 3: requests ----

    def request_all(self, frontends):
        pod = next(iter(self.pod_hosts), None)
        places = [("outside", lab.CLIENT, OUTSIDE_TIMES), ("the node", lab.NODE, INSIDE_TIMES)]
        if pod:
            places.insert(1, (f"Pod {pod}", self.pod_hosts[pod], INSIDE_TIMES))
        for place, host, times in places:
            self.out.say(f"  from {place}:")
            self.show_table([self.request(frontend, host, times) for frontend in frontends])

    def request(self, frontend, host, times):
        target = self.target_of(frontend)
        if frontend.verdict != "forward":
            seen = clients.ask(host, target, 1)
            text = ", ".join(seen.failures) or f"answered by {spread(seen.answers)}"
            self.expect(set(seen.failures) == {"refused"}, f"{target} should refuse: {text}")
            return frontend.owner, str(target), "", f"{text}: it has no Pods"
        seen = clients.ask(host, target, times)
        self.judge_answers(frontend, target, seen, times)
        text = spread(self.short_names(seen.answers))
        if seen.failed:
            text = ", ".join(filter(None, [text, "FAILED: " + spread(seen.failures)]))
        if frontend.affinity and len(seen.answers) == 1:
            text += " (session affinity)"
        return frontend.owner, str(target), f"{seen.answered} answered", text

    def judge_answers(self, frontend, target, seen, times):
        allowed = {self.by_addr[addr].title for addr in frontend.endpoints if addr in self.by_addr}
        self.expect(not seen.failed, f"{target}: {spread(seen.failures)} after {seen.answered} answers")
        wrong = set(seen.answers) - allowed
        self.expect(not wrong, f"{target}: answered by {', '.join(sorted(wrong))}")
        if frontend.affinity:
            self.expect(len(seen.answers) <= 1, f"{target}: one client met several Pods")
        elif times >= len(allowed):
            self.expect(allowed <= set(seen.answers),
                        f"{target}: no request reached {', '.join(sorted(allowed - set(seen.answers)))}")

    @staticmethod
    def short_names(answers):
        """Without the namespace, where that leaves them apart."""
        short = collections.Counter({name.split("/", 1)[-1]: n for name, n in answers.items()})
        return short if len(short) == len(answers) else answers

    def expect(self, right, text):
        if not right:
            self.trouble.append(text)

    # ---- 4: scaling under load ----

    def choose_scaled(self, frontends):
        """A TCP Service port whose Pods all come from one workload: the one with the most Pods."""
        def suits(frontend):
            behind = [self.by_addr.get(addr) for addr in frontend.endpoints]
            return (frontend.protocol == "TCP" and not frontend.affinity and behind
                    and all(one and not one.listed for one in behind)
                    and len({one.workload for one in behind}) == 1
                    and not behind[0].workload.startswith(("Pod ", workloads.PER_NODE)))
        return max(filter(suits, frontends), key=lambda one: len(one.endpoints), default=None)

    def scale_under_load(self, frontend):
        target = self.target_of(frontend)
        workload = self.by_addr[frontend.endpoints[0]].workload
        start = len(frontend.endpoints)
        sizes = [start, start + 2, max(start - 2, 1), start + 3, 1, max(start, 2)]
        self.out.say(f"  {workload} behind {target}: {RATE} new connections a second, {KEPT} kept open")
        self.hosts.forget_closed_connections()
        load = clients.Load(lab.CLIENT, target, RATE, KEPT)
        removed = asyncio.run(load.run(self.scale_story(load, workload, sizes)))
        self.judge_load(load, removed)

    async def scale_story(self, load, workload, sizes):
        """Changes the number of Pods in steps; the titles of all that were removed."""
        removed, endings = set(), []
        start = time.monotonic()
        for size in sizes:
            gone = await asyncio.to_thread(self.resize, workload, size)
            removed |= {one.title for one in gone}
            endings.append(asyncio.create_task(self.end_later(gone)))
            before, failed = load.new.answers.copy(), load.new.failed
            await asyncio.sleep(PHASE_SEC)
            step = load.new.answers - before
            self.out.say(f"    {time.monotonic() - start:4.0f} s  {count(size, 'Pod'):7}  "
                         f"{sum(step.values()):5,} answered, {load.new.failed - failed} failed:  "
                         + spread(self.short_names(step)))
        await asyncio.gather(*endings)
        return removed

    def resize(self, workload, size):
        """New Pods answer before they are told of, removed ones are told of before they end."""
        members = [one for one in self.app.standins if one.workload == workload]
        while len(members) < size:
            fresh = self.another(members[0])
            self.app.standins.append(fresh)
            members.append(fresh)
            workloads.assign_addresses(self.app.standins, lab.POD_NETWORKS, set(self.by_addr))
            self.start_standin(fresh)
        gone = members[size:]
        for one in gone:
            self.app.standins.remove(one)
        self.write_pods()
        return gone

    def another(self, pod):
        """A Pod like that one, under a name and address that nobody has had."""
        base = pod.name.rsplit("-", 1)[0]
        number = next(n for n in itertools.count(1) if f"{pod.ns}/{base}-{n}" not in self.pod_hosts)
        return workloads.StandIn(f"{base}-{number}", pod.ns, pod.labels, pod.workload,
                                 pod.containers, ports=pod.ports)

    async def end_later(self, gone):
        await asyncio.sleep(GRACE_SEC)
        for one in gone:
            await asyncio.to_thread(self.servers.command, stop=one.title)

    def judge_load(self, load, removed):
        broken = sum(n for name, n in load.broken.items() if name not in removed)
        ended = sum(load.broken.values()) - broken
        total = load.new.answered + load.new.failed
        self.out.say(f"  {total:,} new connections, {load.new.failed:,} failed"
                     + (f" ({spread(load.new.failures)})" if load.new.failed else ""))
        self.out.say(f"  {KEPT} kept connections: {broken} broken; {ended} ended with their Pods")
        self.expect(not load.new.failed, f"under load {load.new.failed} of {total} requests failed")
        self.expect(not broken, f"{broken} connections broke though their Pods remained")

    # ---- all of it ----

    def run(self):
        out = self.out
        out.heading(f"1. The manifests in {self.args.shown or self.args.folder}")
        self.show_manifests()
        if not self.app.services:
            raise CannotShow("there is no Service in these manifests")
        out.heading("2. vipd puts them into the kernel")
        self.set_up()
        frontends = self.program()
        if not frontends:
            raise CannotShow("none of these Services has an address that a proxy serves")
        out.heading("3. Requests, and who answered")
        self.request_all(frontends)
        scaled = self.choose_scaled(frontends)
        if scaled:
            out.heading("4. Scaling under load")
            self.scale_under_load(scaled)
        self.conclude()

    def conclude(self):
        if not self.trouble:
            self.out.heading(self.out.good("verdict: ") + "every request was answered by the right Pod; "
                             "nothing failed")
            return
        self.out.heading(self.out.bad("verdict: ") + "not as it should be:")
        for text in self.trouble[:20]:
            self.out.say("  - " + text)
        self.out.say("  vipd's log ends:")
        self.out.block(self.daemon.tail())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--vipctl", help="shows the table; ipvsadm without it")
    parser.add_argument("--shown", help="the folder's name for the reader")
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("folder")
    return parser.parse_args()


def interrupted(_signal, _frame):
    raise KeyboardInterrupt


def main():
    args = arguments()
    terminal = Terminal(args.colour)
    signal.signal(signal.SIGTERM, interrupted)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="vipd-demo-") as work:
        show = Show(args, terminal, work)
        try:
            show.run()
            return 1 if show.trouble else 0
        except (CannotShow, OSError, RuntimeError, AssertionError,
                subprocess.CalledProcessError) as error:
            terminal.heading(terminal.bad("could not be shown: ") + str(error))
            return 2
        except KeyboardInterrupt:
            terminal.say("\ninterrupted; nothing stays behind")
            return 130
        finally:
            show.tear_down()


if __name__ == "__main__":
    sys.exit(main())
