#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is lost when a part dies, restarts or comes late? Of a programmed session: nothing (I5)."""

import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../harness"))

from sally import case, check, main, net, probe, same  # noqa: E402
from sally.control import ask  # noqa: E402
from sally.town import ALICE, BOB, CAROL, addresses, matrix, settle, town  # noqa: E402


def stream(lab, user=ALICE):
    """Traffic of one user, both ways, a few hundred frames a second."""
    c, w = lab.clients[user], lab.workloads[user + "/web"]
    return probe.Stream(c, addresses(c)[0], w, addresses(w)[0]).start()


def nothing_lost(s):
    s.progressed(150)
    sent, lost = s.finish()
    check(sent > 300, f"only {sent} frames were sent")
    check(lost == 0, f"{lost} of {sent} frames lost")


def picture(lab):
    """What must not change by a restart of the daemon: sessions and workloads, without counters."""
    keep = ("id", "user", "segment", "instance", "common_name", "remote", "time_unix", "vid", "address", "address6")
    sessions = sorted(({k: s.get(k) for k in keep} | {"macs": sorted(s["macs"])} for s in lab.sessions()),
                      key=lambda s: s["id"])
    workloads = sorted((w["user"], w["name"], w["mac"], w["state"], w["ifindex"])
                       for w in lab.ask("workload-list")["items"])
    return sessions, workloads


def links():
    """ids of our pinned BPF links, and of the programs behind them."""
    out = {}
    for top, _, files in os.walk("/sys/fs/bpf/sallyport"):
        if "/links" in top:
            for name in files:
                p = net.run("bpftool", "-j", "link", "show", "pinned", f"{top}/{name}", check=False)
                if p.returncode == 0:
                    link = json.loads(p.stdout)
                    link = link[0] if isinstance(link, list) else link
                    out[link["id"]] = link["prog_id"]
    return out


def daemon_killed(lab):
    with case("kill -9 of the daemon under traffic: not a frame lost"):
        before = picture(lab)
        s = stream(lab)
        s.progressed(50)
        lab.daemon.kill9()
        s.progressed(150)  # nobody is there, and it flows
        lab.daemon.start()
        nothing_lost(s)
    with case("and the daemon that comes back knows everything"):
        same(picture(lab), before, "sessions and workloads")
    with case("a second daemon beside the first refuses to start, and harms nothing"):
        s = stream(lab)
        second = net.run(f"{lab.build}/sallyportd", "--config", lab.daemon.config, check=False)
        check(second.returncode != 0, "it started")
        nothing_lost(s)
        same(picture(lab), before, "sessions and workloads")
    with case("five kills in a row, in the middle of its start too"):
        s = stream(lab)
        lab.daemon.kill9()
        for i in range(5):
            try:
                lab.daemon.start(timeout=0.02 * (i + 1))
            except AssertionError:
                pass
            lab.daemon.kill9()
        lab.daemon.start()
        nothing_lost(s)
        same(picture(lab), before, "sessions and workloads")


def upgraded(lab):
    with case("an orderly restart puts new programs behind the same links: not a frame lost"):
        before, state = links(), picture(lab)
        check(len(before) >= 11, f"too few BPF links: {before}")
        s = stream(lab)
        lab.daemon.stop()
        s.progressed(30)
        lab.daemon.start()
        nothing_lost(s)
        after = links()
        same(set(after), set(before), "ids of the links")
        check(all(after[k] != before[k] for k in after), f"old programs still run: {before} {after}")
        same(picture(lab), state, "sessions and workloads")
    with case("a reload by SIGHUP: not a frame lost"):
        s = stream(lab)
        lab.daemon.process.send_signal(signal.SIGHUP)
        nothing_lost(s)
    with case("the whole matrix still holds"):
        missing, unexpected = matrix(lab)
        check(not missing and not unexpected, f"missing {missing}, unexpected {unexpected}")


def missed_while_away(lab):
    with case("a client that left while the daemon was dead is gone when it returns"):
        c = lab.clients[BOB]
        lab.daemon.kill9()
        mark = lab.servers["main"].log.mark()
        c.kill9()
        lab.servers["main"].log.wait(f"{BOB}/.*(SIGTERM|client-instance exiting|restarting)", 20, mark)
        lab.daemon.start()
        lab.wait_gone(lambda s: s["common_name"] == BOB, "bob's session to be gone")
    with case("and gets in again"):
        lab.clients[BOB].connect(30)
        settle(lab, lab.clients[BOB])


def late_events(lab):
    """Events of a session that is over must not harm the one that took its place."""
    c = lab.clients[CAROL]
    pid = next(i["openvpn_pid"] for i in lab.ask("status")["instances"])

    def key(s):
        ip, port = s["remote"].rsplit(":", 1)
        return {"common_name": s["common_name"], "trusted_ip": ip, "trusted_port": int(port),
                "time_unix": s["time_unix"], "daemon_pid": pid, "instance": "main",
                "deadline_us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + 200000}

    old = key(lab.sessions(CAROL)[0])
    c.stop()
    lab.wait_gone(lambda s: s["user"] == CAROL, "carol's session to end")
    c.connect()
    settle(lab, c)
    new = lab.sessions(CAROL)
    with case("a disconnect of the old generation after the new connect changes nothing"):
        pinger = probe.Pinger(c.ns, "10.50.0.103")
        lab.ask("hook-disconnect", **old)
        same([s["id"] for s in lab.sessions(CAROL)], [s["id"] for s in new], "carol's sessions")
        same(lab.sessions(CAROL)[0]["macs"], new[0]["macs"], "her MACs")
        sent, got = pinger.finish()
        check(sent == got, f"carol lost {sent - got} of {sent}")
    with case("a delete that began before the new session learned the MAC is too late"):
        lab.ask("hook-forget", instance="main", mac=c.mac, vid=new[0]["vid"] or 0, time_us=1,
                deadline_us=old["deadline_us"])
        same(lab.sessions(CAROL)[0]["macs"], new[0]["macs"], "her MACs")
        same(probe.ping(c.ns, "10.50.0.103", "-i", "0.1"), (3, 3), "pings")
    with case("a learn of the old generation is refused"):
        reply = ask(lab.socket, "hook-learn", event="add", mac="02:00:00:00:66:66", vid=new[0]["vid"] or 0,
                    **{**old, "deadline_us": time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + 200000})
        same(reply["allow"], False, "allow")


def sever(mode):
    lab = town(mode)
    daemon_killed(lab)
    if mode == "vlan":
        upgraded(lab)
    missed_while_away(lab)
    late_events(lab)
    lab.close()


main((sever, "vlan"), (sever, "mac"))
