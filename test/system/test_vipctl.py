# SPDX-License-Identifier: Apache-2.0
"""vipctl against the real ipvsadm, on the same table at the same moment.

In a network namespace of its own, beside the one that the other tests use: services in several
namespaces are what /proc/net/ip_vs cannot cope with.
"""
import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest

import daemon

pytestmark = pytest.mark.skipif(daemon.MODE != "ipvs", reason="these are about IPVS mode")
BUILD = os.path.dirname(os.path.abspath(os.environ.get("VIPD", "build/vipd")))
VIPCTL = f"{BUILD}/vipctl"
TABLE = f"{BUILD}/test/system/ipvs_table"

HOSTS = """127.0.0.1 localhost
10.0.0.1 web alias
192.168.1.1 one.example.org
2001:db8::1 six
10.0.0.9 %s
""" % ("h" * 58)

RULES = """-A -t 10.0.0.1:80 -s rr -p 9
-a -t 10.0.0.1:80 -r 192.168.1.1:80 -m -w 7 -x 100 -y 50
-a -t 10.0.0.1:80 -r 192.168.1.2:8080 -m -w 0
-A -t 10.0.0.1:443 -s wlc -p 60 -M 255.255.255.0
-A -t 10.0.0.9:443 -s sh -b sh-port
-a -t 10.0.0.9:443 -r 10.0.0.9:443 -g -w 2147483647
-A -t 200.0.0.1:1 -s lc
-A -t 1.0.0.1:1 -s lc
-A -t 100.0.0.1:1 -s lc
-A -t 10.0.0.1:0 -s rr -p
-A -u 10.0.0.1:53 -s wlc -o
-a -u 10.0.0.1:53 -r 192.168.1.1:53 -m
-A --sctp-service 10.0.0.1:3868 -s mh -b mh-port,mh-fallback
-a --sctp-service 10.0.0.1:3868 -r 192.168.1.2:3868 -m
-A -f 5 -s wrr -b flag-3
-a -f 5 -r 192.168.1.1:80 -i --tun-type gue --tun-port 6080 --tun-remcsum
-a -f 5 -r 192.168.1.2:0 -i --tun-type gre --tun-csum
-a -f 5 -r 192.168.1.3:0 -i
-a -f 5 -r [fd00::1]:0 -i
-A -f 4294967295 -s rr
-A -f 5 -6 -s wlc -p 77 -M 64
-A -u [2001:db8::1]:53 -s wlc
-a -u [2001:db8::1]:53 -r [2001:db8:1111:2222:3333:4444:5555:6666]:53 -m -w 3
-A -t [2001:db8::1]:80 -s rr
"""

VIEWS = ["", "-L", "-l", "-L -n", "-Ln", "-Ln --nosort", "-L --sort", "-Ln --stats", "-L --stats",
         "-Ln --stats --exact", "-Ln --rate", "-Ln --rate -X", "-Ln --thresholds",
         "-L --persistent-conn", "-Ln --tun-info", "-L --tun-info", "-L --timeout", "-L --daemon",
         "-Lc", "-Lcn", "-Lcn --persistent-conn", "-S", "-Sn", "-S --sort",
         "-Ln -t 10.0.0.1:80", "-L -t web:http", "-L --stats -u alias:domain",
         "-Ln -f 5 --tun-info", "-Ln -f 5 -6", "-L -u [2001:db8::1]:53", "-L -t [2001:db8::1]:http",
         "-Ln --sctp-service 10.0.0.1:3868 --thresholds", "-Ln -t 10.0.0.99:1", "-Ln -t 10.0.0.1"]


class Namespace:
    """A network namespace with its own /etc/hosts and no name server, kept by a sleeper."""

    def __init__(self, hosts):
        self.keeper = subprocess.Popen(  # pylint: disable=consider-using-with
            ["unshare", "--net", "--mount", "sh", "-c",
             "mount --bind \"$1\" /etc/hosts && mount --bind \"$2\" /etc/resolv.conf && "
             "ip link set lo up && echo ready && exec sleep 100000", "sh", *hosts],
            stdout=subprocess.PIPE, text=True)
        assert self.keeper.stdout.readline() == "ready\n"

    def command(self, *args):
        return ["nsenter", "-t", str(self.keeper.pid), "-n", "-m", *args]

    def run(self, *args, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(self.command(*args), capture_output=True, check=False, timeout=120,
                              **kwargs)

    def ipvsadm(self, *args, rules=None):
        done = self.run("ipvsadm", *args, stdin=None if rules else subprocess.DEVNULL,
                        **({"input": rules.encode()} if rules else {}))
        return done.returncode, done.stdout, done.stderr

    def vipctl(self, *args, name="ipvsadm"):
        """By a name of the caller's choice, as a link would have it."""
        done = self.run("bash", "-c", "exec -a \"$0\" \"$@\"", name, VIPCTL, *args)
        return done.returncode, done.stdout, done.stderr

    def load(self, rules):
        code, _, errors = self.ipvsadm("-R", rules=rules)
        assert (code, errors) == (0, b"")

    def close(self):
        self.ipvsadm("-C")
        self.keeper.kill()
        self.keeper.wait()


@pytest.fixture(scope="module", name="box")
def make_box(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    (folder / "hosts").write_text(HOSTS)
    (folder / "resolv").write_text("nameserver 127.0.0.1\n")
    box = Namespace([str(folder / "hosts"), str(folder / "resolv")])
    yield box
    box.close()


@pytest.fixture(scope="module", name="table")
def make_table(box):
    box.load(RULES)
    return box


def readable(result):
    code, out, errors = result
    return f"exit {code}\n{out.decode(errors='replace')}--\n{errors.decode(errors='replace')}"


@pytest.mark.parametrize("view", VIEWS)
def test_same_view(table, view):
    args = view.split()
    assert readable(table.vipctl(*args)) == readable(table.ipvsadm(*args))


def random_command(rng):
    """A line of options, right and wrong ones, that lists, saves or fails."""
    flags = ["-n", "-c", "--stats", "--rate", "--timeout", "--daemon", "--thresholds", "-X", "-6",
             "--persistent-conn", "--tun-info", "--exact", "--sort", "--nosort", "-nc", "-nX", "-o",
             "-m", "--ops", "--tun-csum", "-k", "-nk", "--stat", "--numeric=5", "--", "-", "x",
             "-L", "-S", "-v"]
    addresses = ["10.0.0.1:80", "web:http", "web", "[2001:db8::1]:53", "2001:db8::1", "10.1:80",
                 "12345", "", "[10.0.0.1]:80", "10.0.0.1:", "10.0.0.1:+80", "10.0.0.1:65536",
                 "nosuch.invalid:80", "010.0.0.1:80", "[::1", ":80", "10.0.0.1:80:80"]
    numbers = ["0", "1", "5", " 5", "+5", "05", "5 ", "0x5", "-1", "4294967296", "", "abc",
               "2147483648", "256", "65508", "2678401"]
    values = {"-t": addresses, "-u": addresses, "--sctp-service": addresses, "-r": addresses,
              "-f": numbers, "-p": numbers, "-w": numbers, "-x": numbers, "-y": numbers,
              "--syncid": numbers, "--mcast-port": numbers, "--mcast-ttl": numbers,
              "--sync-maxlen": numbers, "--tun-port": numbers,
              "-M": ["255.255.255.0", "64", "64abc", "0", "129", "", "web", "nosuch.invalid"],
              "--tun-type": ["gue", "GUE", ""], "-s": ["sh", "rr", ""], "--pe": ["sip"],
              "--mcast-group": ["224.0.0.1", "ff02::1", "10.0.0.1", "abc", "", "::1"],
              "-b": ["sh-port", "flag-1", "", "mh-port", "nosuch", "flag-1,sh-port", "x" * 200]}
    args = [rng.choice(["-L", "-Ln", "-S", "-Sn", "-l", "--list"])] if rng.random() < 0.9 else []
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.5:
            args.append(rng.choice(flags))
            continue
        option = rng.choice(list(values))
        value = rng.choice(values[option])
        glue = "=" if option.startswith("--") else rng.choice(["", "="])
        args += [option, value] if rng.random() < 0.6 else [f"{option}{glue}{value}"]
    return args


def test_same_errors(table):
    """Whatever the options: the same text on the same stream, and the same exit code."""
    rng = random.Random(20261125)
    for _ in range(40):
        args = random_command(rng)
        assert readable(table.vipctl(*args)) == readable(table.ipvsadm(*args)), args


@pytest.mark.parametrize("args", ["-A -t 10.0.0.7:80", "-C", "-R", "-Z", "--set 1 2 3",
                                  "--start-daemon master", "-d -t 10.0.0.1:80 -r 192.168.1.1:80"])
def test_changes_are_refused(table, args):
    before = table.ipvsadm("-Sn")
    code, out, errors = table.vipctl(*args.split())
    assert (code, out, errors.count(b"\n")) == (2, b"", 1)
    assert b"would change the kernel's state" in errors
    assert table.ipvsadm("-Sn") == before


def test_no_permission(table):
    anybodys = "/tmp/vipctl-of-anybody"  # the build folder may be root's alone
    shutil.copy(VIPCTL, anybodys)
    os.chmod(anybodys, 0o755)
    for wrap in ("setpriv --reuid 65534 --regid 65534 --clear-groups",
                 "setpriv --bounding-set -net_admin --inh-caps -net_admin"):
        for args in (["-Ln"], [], ["-Lcn"], ["-A", "-t", "10.0.0.8:80"], ["--nosuch"], ["-h"]):
            ours = table.run(*wrap.split(), "bash", "-c", "exec -a ipvsadm \"$0\" \"$@\"", anybodys,
                             *args)
            theirs = table.run(*wrap.split(), "ipvsadm", *args)
            assert ours.returncode == theirs.returncode == 2
            assert (ours.stdout, ours.stderr) == (theirs.stdout, theirs.stderr)
        help_text = table.run(*wrap.split(), anybodys, "--help")
        assert help_text.returncode == 0 and help_text.stdout.startswith(b"usage:")
    os.unlink(anybodys)


def test_save_can_be_restored(table):
    _, rules, _ = table.vipctl("-Sn")
    # what ipvsadm itself cannot read back: such a mark, an empty list of flags
    lines = [line for line in rules.decode().splitlines() if " -f -1 " not in line]
    table.ipvsadm("-C")
    try:
        table.load("\n".join(lines) + "\n")
        _, again, _ = table.vipctl("-Sn")
        assert sorted(again.decode().splitlines()) == sorted(lines)
    finally:
        table.ipvsadm("-C")
        table.load(RULES)


def test_json_says_what_the_lists_say(table):
    code, out, errors = table.vipctl("-L", "-o", "json", name="vipctl")
    assert (code, errors) == (0, b"")
    listed = []
    for service in json.loads(out)["services"]:
        if "fwmark" in service:
            head = f"-f {service['fwmark']}"
        else:
            host = service["address"]
            host = f"[{host}]" if service["family"] == "IPv6" else host
            head = f"{service['protocol']} {host}:{service['port']}"
        listed.append((head, len(service["destinations"])))
    assert listed.index(("TCP 10.0.0.1:80", 2)) < listed.index(("UDP 10.0.0.1:53", 1))
    assert ("-f 4294967295", 0) in listed and ("-f 5", 4) in listed
    assert len(listed) == RULES.count("-A ")


# ---- connections and counters ----

@pytest.fixture(scope="module", name="busy")
def make_busy(box, table):
    """Some clients of services whose destination is this machine, and counters that stand still."""
    del table
    script = """
import socket
for family, vip in ((socket.AF_INET, "10.77.0.1"), (socket.AF_INET6, "fd77::1")):
    for n in range(1, 8):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            for _ in range(n):
                s.sendto(b"x" * 100 * n, (vip, 5353))
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setblocking(False)
            s.connect_ex((vip, 80))
"""
    for command in ("ip addr add 10.77.0.1/32 dev lo", "ip addr add fd77::1/128 dev lo nodad"):
        assert box.run(*command.split()).returncode == 0
    box.load("".join(f"-A {s} -s rr {o}\n-a {s} -r {d} -m\n" for s, d, o in (
        ("-u 10.77.0.1:5353", "127.0.0.1:5354", "-p 300"),
        ("-t 10.77.0.1:80", "127.0.0.1:8080", ""),
        ("-u [fd77::1]:5353", "[::1]:5354", ""), ("-t [fd77::1]:80", "[::1]:8080", "-p 300"))))
    done = box.run("/usr/bin/python3", "-c", script)
    assert done.returncode == 0, done.stderr
    time.sleep(2.5)  # the kernel adds up every 2 s
    box.run("sysctl", "-qw", "net.ipv4.vs.run_estimation=0")
    yield box
    box.run("sysctl", "-qw", "net.ipv4.vs.run_estimation=1")


def three_runs(box, view):
    return [run(*view.split()) for run in (box.ipvsadm, box.vipctl, box.ipvsadm)]


@pytest.mark.parametrize("view", ["-Ln --stats", "-Ln --rate", "-L --stats --exact", "-Ln",
                                  "-Ln --persistent-conn", "-Ln --rate -X"])
def test_same_counters(busy, view):
    """Connections come to an end meanwhile: ipvsadm before and after, until nothing changed."""
    for _ in range(10):
        before, ours, after = three_runs(busy, view)
        if before == after:
            break
    assert readable(ours) == readable(before)
    assert re.search(rb"fd77::1.* [1-9]", ours[1]) or "--stats" not in view


@pytest.mark.parametrize("view", ["-Lcn", "-Lc", "-Lcn --persistent-conn"])
def test_same_connections(busy, view):
    """The seconds left move: they may differ by the second between the two runs."""
    def masked(result):
        return re.sub(r"(?m)^(\w+ +)\d+:\d\d", r"\1MM:SS", readable(result))

    for _ in range(10):
        before, ours, after = three_runs(busy, view)
        if masked(before) == masked(after):
            break
    assert masked(ours) == masked(before)
    assert ours[1].count(b"\n") > 16


# ---- where the output goes ----

def test_full_disk(table):
    for args in ("-Ln", "-Sn", "-Lcn", "-L --timeout", "-Ln -o json", "-Ln -o prometheus",
                 "--help"):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(table.command(VIPCTL, *args.split()), stdout=full,
                                  stderr=subprocess.PIPE, check=False)
        assert done.returncode == 1, args
        assert done.stderr.endswith(b": write error: No space left on device\n"), args


# ---- a big table ----

# More address space than this vipctl does not get: its memory stays below.
FRUGAL = ["prlimit", f"--as={64 * 1024 * 1024}", VIPCTL]


def seconds(box, path, *command):
    """How long it takes, with its output in a file."""
    with open(path, "wb") as out:
        begin = time.monotonic()
        subprocess.run(box.command(*command), stdout=out, check=True)
        return time.monotonic() - begin


@pytest.fixture(scope="module", name="big")
def make_big(tmp_path_factory):
    """10,000 services with 10 destinations each, in a namespace of their own."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    (folder / "resolv").write_text("nameserver 127.0.0.1\n")
    box = Namespace([str(folder / "hosts"), str(folder / "resolv")])
    done = box.run(TABLE, "fill", "10000", "10")
    assert done.returncode == 0, done.stderr
    yield box
    box.close()


def test_big_table(big, tmp_path):
    """Identical, in a quarter of ipvsadm's time, and little more than a plain dump costs that
    throws everything away."""
    for view in ("-Ln", "-Sn"):
        theirs = seconds(big, tmp_path / "theirs", "ipvsadm", view)
        ours, reads = [], []
        for _ in range(5):  # in turns; the least of each is what it costs
            reads.append(seconds(big, tmp_path / "none", TABLE, "read"))
            ours.append(seconds(big, tmp_path / "ours", *FRUGAL, view))
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
        assert (tmp_path / "ours").read_bytes().count(b"\n") >= 110000
        print(f"{view}: ipvsadm {theirs:.2f} s, vipctl {min(ours):.2f} s, "
              f"a plain dump {min(reads):.2f} s")
        assert min(ours) <= theirs / 4
        assert min(ours) <= 1.3 * min(reads)


def test_prometheus_of_a_big_table_fits(big):
    """It has to keep the table, but little of it."""
    done = big.run("bash", "-o", "pipefail", "-c",
                   "\"$@\" -Ln -o prometheus | grep -c '^ipvs_destination_weight{'", "bash",
                   *FRUGAL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"100000\n", b"")


def test_head_ends_it(big):
    begin = time.monotonic()
    with subprocess.Popen(big.command(VIPCTL, "-Ln"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        assert child.stdout.readline().startswith(b"IP Virtual Server")
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() in (-signal.SIGPIPE, 128 + signal.SIGPIPE)
    assert time.monotonic() - begin < 3


def test_table_that_changes(big):
    """Whole lines, nothing twice, and all that stayed in the table."""
    line = re.compile(rb"-A -t 10\.[\d.]+:\d+ -s rr|"
                      rb"-a -t 10\.[\d.]+:\d+ -r 10\.[\d.]+:8080 -m -w 1")
    with subprocess.Popen(big.command(TABLE, "churn", "500", "4")) as churn:
        runs = 0
        while churn.poll() is None:
            code, out, errors = big.vipctl("-Sn", name="vipctl")
            assert (code, errors, out[-1:]) == (0, b"", b"\n")
            lines = out[:-1].split(b"\n")
            wrong = [text for text in lines if not line.fullmatch(text)]
            assert not wrong, wrong[:3]
            twice = [text for text, n in collections.Counter(lines).items() if n > 1]
            assert not twice, twice[:3]
            runs += 1
        assert churn.returncode == 0 and runs >= 1
