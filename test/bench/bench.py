# SPDX-License-Identifier: Apache-2.0
"""What vipd costs, against limits, in one boot of a guest: TAP on stdout. test/bench/run starts it.

    bench.py [--services N] [--rounds N] [--changes N] [--only cold|answers|changes|calls] [--entrances]

Everything is a ratio to something measured in turn with it, or a bound with room. A figure of several
rounds is the least of them: what others on the machine add is not the program's. What each is, and
why it is taken so: README.md."""
import argparse
import collections
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import lab  # noqa: E402
import manifests  # noqa: E402
import recording  # noqa: E402

ENDPOINTS = 10
NODE_ADDRS = 8  # with --entrances
CHANGED = 100  # Services that changes are made to, each in a file of its own


class Report:
    def __init__(self):
        self.count = self.failed = 0

    @staticmethod
    def note(text):
        print(f"# {text}", flush=True)

    def at_most(self, name, value, limit, unit="", digits=2):
        self.count += 1
        good = value <= limit
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}: {value:.{digits}f}{unit}"
              f" (at most {limit:g}{unit})", flush=True)

    def end(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed else 0


def median(values):
    return statistics.median(values)


# ---- cold start ---------------------------------------------------------------------------------

def record(folder, target, more=0):
    """Records a cold start; the static rules, for the replays."""
    ns = lab.Namespace("record", more)
    daemon = lab.Daemon(ns, folder, before=(lab.RECORD, "/tmp/recorded"))
    daemon.line("in the kernel")
    rules = lab.run(*ns.inside, "nft", "-t", "list", "ruleset")
    daemon.stop()
    ns.close()
    n_messages, n_datagrams = recording.convert("/tmp/recorded", target)
    Report.note(f"recorded: {n_messages} messages, replayed in {n_datagrams} datagrams")
    pathlib.Path("/tmp/recorded").unlink()
    return rules


def replay(path, rules):
    """Milliseconds. The rules stand already, as do the daemon's sysctls."""
    ns = lab.Namespace("replay")
    lab.run(*ns.inside, "sysctl", "-q", "-w", "net.ipv4.vs.conntrack=1", "net.ipv4.ip_forward=1")
    lab.run(*ns.inside, "nft", "-f", "-", input=rules)
    said = dict(word.split("=") for word in lab.run(*ns.inside, lab.KERNEL, "replay", path).split())
    ns.close()
    return int(said["us"]) / 1000


def read_only_ms(folder):
    """How long the same text takes to be read when its objects are of kinds that are not ours:
    YAML to trees, and no more."""
    ns = lab.Namespace("read")
    daemon = lab.Daemon(ns, folder)
    taken = daemon.line("manifests taken")
    daemon.line("in the kernel")
    daemon.stop()
    ns.close()
    return int(taken["read_us"]) / 1000


def cold_start(folder, frontends, more):
    """One cold start: figures by name, in ms and kB."""
    ns = lab.Namespace("cold", more)
    daemon = lab.Daemon(ns, folder)
    there = daemon.line("in the kernel")
    taken = daemon.line("manifests taken")
    if int(there["frontends"]) != frontends or int(there["failed"]):
        raise RuntimeError(f"not all is in the kernel: {there}")
    lab.wait_idle()
    counters = daemon.counters()
    result = {
        "total": int(there["total_ms"]), "read": int(taken["read_us"]) / 1000,
        "told": int(taken["told_us"]) / 1000, "desired": counters["desired_us"] / 1000,
        "lower": counters["lower_us"] / 1000, "kernel": counters["kernel_us"] / 1000,
        "turn cpu": counters["loop_longest_turn_us"] / 1000,
        "turn wall": counters["loop_longest_turn_wall_us"] / 1000,
        "peak": daemon.memory_kb("VmHWM"), "steady": daemon.memory_kb("VmRSS"),
    }
    daemon.stop()
    ns.close()
    return result


def rename_kinds(folder, target):
    shutil.copytree(folder, target)
    for path in pathlib.Path(target).iterdir():
        text = path.read_text(encoding="ascii")
        path.write_text(text.replace("kind: Service\n", "kind: Xervice\n")
                        .replace("kind: EndpointSlice\n", "kind: XndpointSlice\n"), encoding="ascii")


def cold(report, options):
    folder, other = "/tmp/manifests", "/tmp/others"
    manifests.write(folder, options.services, ENDPOINTS, entrances=options.entrances)
    frontends = options.services * (4 if options.entrances else 1) + 2
    more = NODE_ADDRS - 1 if options.entrances else 0
    rename_kinds(folder, other)
    rules = record(folder, "/tmp/replay", more)
    rounds = collections.defaultdict(list)
    for _ in range(options.rounds):
        rounds["replay"].append(replay("/tmp/replay", rules))
        for name, value in cold_start(folder, frontends, more).items():
            rounds[name].append(value)
        rounds["replay"].append(replay("/tmp/replay", rules))
        rounds["yaml"].append(read_only_ms(other))
    at = {name: min(values) for name, values in rounds.items()}
    cold = min(total - read for total, read in zip(rounds["total"], rounds["read"]))
    at["decode"] = at["read"] - at["yaml"]
    at["rest"] = cold - at["told"] - at["desired"] - at["lower"] - at["kernel"]
    report.note("ms: " + ", ".join(f"{name} {at[name]:.0f}" for name in (
        "replay", "total", "yaml", "decode", "told", "desired", "lower", "kernel", "rest")))
    report.note(f"longest turn, CPU time {at['turn cpu']:.1f} ms, by the clock "
                f"{at['turn wall']:.1f} ms; rounds {[round(x) for x in rounds['turn wall']]}")
    report.at_most("kernel time against the raw replay", at["kernel"] / at["replay"], 1.3, " x")
    report.at_most("cold start without reading, against the raw replay",
                   cold / at["replay"], 3, " x")
    report.at_most("steady memory", at["steady"] / 1024, 64, " MiB", 1)
    report.at_most("peak memory", at["peak"] / 1024, 96, " MiB", 1)
    report.at_most("longest turn of the loop, CPU time", at["turn cpu"], 50, " ms", 1)
    report.at_most("longest turn of the loop, by the clock", at["turn wall"], 50, " ms", 1)
    shutil.rmtree(other)


# ---- who waits for the API server and DNS -------------------------------------------------------

def serve(backend):
    """What answers behind the two Services; in the backends' namespace."""
    server = socket.create_server(("192.0.2.10", 8080))
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("192.0.2.11", 8080))

    def accept():
        while True:
            server.accept()[0].close()

    def echo():
        while True:
            text, peer = names.recvfrom(512)
            names.sendto(text, peer)
    del backend
    for target in (accept, echo):
        threading.Thread(target=target, daemon=True).start()


PROBE = """
import socket, sys, time
def tcp():
    socket.create_connection(("10.96.0.1", 443), timeout=0.05).close()
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.02)
        sock.connect(("10.96.0.10", 53))
        sock.send(b"?")
        sock.recv(512)
for name, ask in (("api", tcp), ("dns", udp)):
    while True:
        try:
            ask()
            break
        except OSError:
            time.sleep(0.005)
    print(name, time.time(), flush=True)
"""


def log_time_sec(words):
    day, clock = words["time"][:-1].split("T")
    whole, millis = clock.split(".")
    stamp = time.strptime(f"{day} {whole}", "%Y-%m-%d %H:%M:%S")
    return time.mktime(stamp) - time.timezone + int(millis) / 1000


def answers(report, options):
    folder = "/tmp/manifests"
    manifests.write(folder, options.services, ENDPOINTS)
    since_read, since_start = collections.defaultdict(list), collections.defaultdict(list)
    for _ in range(options.rounds):
        ns = lab.Namespace("asks")
        lab.run("ip", "-n", "asks", "-batch", "-", input="\n".join([
            "addr add 192.0.2.10/32 dev lo", "addr add 192.0.2.11/32 dev lo", ""]))
        servers = subprocess.Popen([*ns.inside, sys.executable, __file__, "--serve"])
        daemon = lab.Daemon(ns, folder)
        with subprocess.Popen([*ns.inside, sys.executable, "-c", PROBE], stdout=subprocess.PIPE,
                              text=True) as probe:
            answered = dict(line.split() for line in probe.stdout)
        read_sec = log_time_sec(daemon.line("manifests read"))
        daemon.line("in the kernel")
        for name, at in answered.items():
            since_read[name].append((float(at) - read_sec) * 1000)
            since_start[name].append((float(at) - daemon.started_sec) * 1000)
        daemon.stop()
        servers.kill()
        servers.wait()
        ns.close()
    for name, label in (("api", "the API server's Service"), ("dns", "DNS")):
        report.note(f"{label} answers {min(since_start[name]):.0f} ms after the daemon's start")
        report.at_most(f"{label} answers, after the source is read", min(since_read[name]), 200,
                       " ms", 0)


# ---- one endpoint added -------------------------------------------------------------------------

class Changing:
    """A daemon over so many Services, of which the first ones change, one endpoint at a time."""

    def __init__(self, services, *flags, entrances=False):
        self.services, self.entrances = services, entrances
        self.folder = pathlib.Path(f"/tmp/changing-{services}")
        shutil.rmtree(self.folder, ignore_errors=True)
        manifests.write(self.folder, services, ENDPOINTS, own_files=CHANGED, entrances=entrances)
        time.sleep(1.5)  # a file that is fresh when it is read is read once more, later
        self.ns = lab.Namespace(f"n{services}", NODE_ADDRS - 1 if entrances else 0)
        self.daemon = lab.Daemon(self.ns, self.folder, *flags)
        self.daemon.line("in the kernel")
        self.changer = subprocess.Popen([*self.ns.inside, lab.KERNEL, "changes"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.extra = [0] * CHANGED
        self.done = 0

    def change(self):
        """Adds an endpoint to the next Service; how long until the kernel had it, in us."""
        i = self.done % CHANGED
        self.done += 1
        self.extra[i] += 1
        temporary = pathlib.Path(f"{self.folder}.next")  # not a change of the folder
        temporary.write_text(manifests.numbered(i, ENDPOINTS, self.extra[i], self.entrances),
                             encoding="ascii")
        addr = manifests.extra_addr(self.extra[i])
        self.changer.stdin.write(f"{temporary} {self.folder}/{manifests.own_file(i)} "
                                 f"{manifests.vip_of(i)} 80 {addr} 8080\n")
        self.changer.stdin.flush()
        return int(self.changer.stdout.readline())

    def close(self):
        self.changer.stdin.close()
        self.changer.wait(10)
        self.daemon.stop()
        self.ns.close()
        shutil.rmtree(self.folder)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def spin_ms(loops=[0]):  # pylint: disable=dangerous-default-value
    """How long some 2 ms of counting take now."""
    while not loops[0]:  # how many that are, at the best of times
        start = time.monotonic()
        for _ in range(20000):
            pass
        loops[0] = int(20000 * 0.002 / (time.monotonic() - start))
    start = time.monotonic()
    for _ in range(loops[0]):
        pass
    return (time.monotonic() - start) * 1000


def busy_us(daemon):
    """The loop's and the reading thread's time since the start."""
    read = sum(int(word[8:]) for word in daemon.log().split() if word.startswith("read_us="))
    return daemon.counters()["loop_busy_us"] + read


def changes(report, options):
    # the audit costs what there is, in its own time: it is no part of a change
    quiet = ("--audit-period=1h",)
    small, large = (Changing(n, *quiet, entrances=options.entrances)
                    for n in (100, options.services))
    took, cost, control = {small: [], large: []}, {small: [], large: []}, []
    for one in (small, large):
        for _ in range(10):
            one.change()
    cpu = {one: one.daemon.cpu_sec() for one in took}
    for k in range(options.changes):
        for one in ((small, large), (large, small))[k % 2]:
            took[one].append(one.change())
            time.sleep(0.01)
        control.append(spin_ms())
    cpu = {one: (one.daemon.cpu_sec() - cpu[one]) * 1e6 / options.changes for one in took}
    for k in range(options.changes // 5):
        for one in ((small, large), (large, small))[k % 2]:
            before = busy_us(one.daemon)
            for _ in range(5):
                one.change()
            time.sleep(0.005)
            cost[one].append((busy_us(one.daemon) - before) / 5)
    for one in (small, large):
        report.note(f"N={one.services}: rename to kernel p50 {percentile(took[one], .5)} us, p99 "
                    f"{percentile(took[one], .99)} us, longest {max(took[one])} us; busy "
                    f"{min(cost[one]):.0f} us a change, median {median(cost[one]):.0f}; CPU by "
                    f"ticks {cpu[one]:.0f} us a change")
    report.note(f"2 ms of work that is no daemon's took, in turn with these, p50 "
                f"{percentile(control, .5):.1f} ms, p99 {percentile(control, .99):.1f} ms, longest "
                f"{max(control):.1f} ms: that is the machine")
    report.at_most(f"busy time of a change, N={options.services} against N=100",
                   min(cost[large]) / min(cost[small]), 1.2, " x")
    report.at_most(f"rename to kernel, p99 of {options.changes}, N={options.services}",
                   percentile(took[large], .99) / 1000, 5, " ms")
    small.close()
    large.close()


# ---- system calls of a change -------------------------------------------------------------------

# How often threads wake one another, and whether one has to wait, is a matter of when they run.
WAITS = re.compile(r"^\d+ +(futex|sched_yield|epoll_wait|poll)\(|<anon_inode:\[event")
CALL = re.compile(r"^\d+ +(\w+)\(")


def count_calls(services, entrances):
    """System calls of each of 20 changes by name, but for waiting."""
    one = Changing(services, "--audit-period=1h", entrances=entrances)
    for _ in range(5):
        one.change()
    trace = pathlib.Path("/tmp/calls")
    strace = subprocess.Popen(["strace", "-f", "-q", "-y", "-o", str(trace), "-e", "signal=none",
                               "-e", "trace=!clock_gettime", "-p", str(one.daemon.process.pid)],
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    sizes = []
    for _ in range(20):
        before = trace.stat().st_size
        one.change()
        time.sleep(0.3)
        sizes.append((before, trace.stat().st_size))
    strace.terminate()
    strace.wait()
    text = trace.read_text(encoding="ascii", errors="replace")
    one.close()
    return [collections.Counter(CALL.match(line)[1] for line in text[a:b].split("\n")
                                if CALL.match(line) and not WAITS.search(line))
            for a, b in sizes]


def calls(report, options):
    typical = []
    for n in (100, options.services // 10, options.services):
        each = count_calls(n, options.entrances)
        names = sorted(set().union(*each))
        usual = {name: int(median(change[name] for change in each)) for name in names}
        usual = {name: count for name, count in usual.items() if count}
        typical.append(sum(usual.values()))
        report.note(f"N={n}: a change's system calls {usual}")
    if min(typical) < 5:
        raise RuntimeError("strace did not see the changes")
    report.at_most(f"system calls of a change, {typical}: the most less the fewest",
                   max(typical) - min(typical), 0, "", 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--changes", type=int, default=300)
    parser.add_argument("--only", action="append")
    parser.add_argument("--entrances", action="store_true",
                        help="every Service has a node port, an external and a load balancer IP with source "
                        "ranges; the node has 8 addresses")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.serve:
        serve(None)
        threading.Event().wait()
    report = Report()
    lab.wait_idle()
    for part in (cold, answers, changes, calls):
        if not options.only or part.__name__ in options.only:
            part(report, options)
    sys.exit(report.end())


if __name__ == "__main__":
    main()
