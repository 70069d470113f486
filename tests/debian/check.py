"""The life of the package: installed, configured, running, upgraded, removed, purged. Run by tests/debian/run."""

import http.client
import json
import os
import subprocess
import sys
import time

WORK = os.path.abspath("target/debian")
ROOT = os.path.join(WORK, "root")
BACKUP, GATEWAY = 9202, 9200
# Of 100; what systemd-analyze makes of a unit without any protection is 96.
EXPOSURE = 15
BEGUN = time.monotonic()


def say(text):
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)


def wait(what, condition, seconds=60):
    """Until the condition holds; returns what it said."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def call(port, method, path, body=None):
    """One request: status and body; status 0 where there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, repr(error)
    finally:
        connection.close()


class Machine:
    """The container: booted by systemd-nspawn, entered through its namespaces."""

    def __init__(self):
        self.log = open(f"{WORK}/console.log", "w", encoding="utf8")
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--machine=understudy"]
        command += ["--directory", ROOT, f"--bind-ro={WORK}/packages:/packages", "--link-journal=no", "--resolv-conf=off"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.init = wait("the container has begun", self._find_init)
        wait("systemd is up", lambda: self.run("systemctl is-system-running", check=False).strip() in ("running", "degraded"))

    def _find_init(self):
        assert self.process.poll() is None, f"systemd-nspawn has ended; see {WORK}/console.log"
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children, encoding="utf8") as file:
            pids = file.read().split()
        for pid in pids:
            with open(f"/proc/{pid}/comm", encoding="utf8") as file:
                if file.read().strip() == "systemd":
                    return pid
        return None

    def run(self, script, check=True):
        """Runs a script inside, as root; its output."""
        enter = ["nsenter", "--target", self.init, "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd"]
        variables = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="]
        done = subprocess.run(enter + variables + ["sh", "-ec", script], capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{script}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def show(self, unit, name):
        return self.run(f"systemctl show --property={name} --value {unit}").strip()

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


UNITS = ("understudy-gateway.service", "understudy-consumer@backup.service")


def replicated(document_id):
    """A document that a gateway takes is on the backup."""
    document = {"from": "HNL", "number": document_id}
    path = f"/flights/_doc/{document_id}"
    wait("a write is acknowledged", lambda: call(GATEWAY, "PUT", path, json.dumps(document))[0] in (200, 201))
    wait("it is on the backup", lambda: '"found":true' in call(BACKUP, "GET", path)[1])


def installed(machine):
    machine.run("dpkg --install /packages/1.deb")
    for unit in UNITS:
        assert machine.run(f"systemctl is-active {unit}", check=False).strip() == "inactive", f"{unit} runs unasked"
        assert machine.run(f"systemctl is-enabled {unit}", check=False).strip() == "disabled", f"{unit} is enabled unasked"
    assert machine.run("getent passwd understudy").strip().endswith(":/nonexistent:/usr/sbin/nologin")
    assert machine.run("stat -c '%a %U:%G' /etc/understudy/secrets /etc/default/understudy").split("\n")[:2] == [
        "750 root:understudy",
        "600 root:root",
    ]
    machine.run("dpkg --verify understudy; understudy config check /etc/understudy/understudy.toml")
    for shell, file in (
        ("bash", "bash-completion/completions/understudy"),
        ("zsh", "zsh/vendor-completions/_understudy"),
        ("fish", "fish/vendor_completions.d/understudy.fish"),
    ):
        machine.run(f"understudy completions {shell} | cmp - /usr/share/{file}")
    machine.run("bash -c '. /usr/share/bash-completion/completions/understudy-gateway; complete -p understudy-gateway'")
    fish = machine.run("cat /usr/share/fish/vendor_completions.d/understudy-consumer.fish")
    assert "-l target" in fish and "-l check-config" in fish, fish
    machine.run("test -s /usr/share/doc/understudy/README.md -a -s /usr/share/doc/understudy/runbooks/README.md")
    machine.run("test -s /usr/share/doc/understudy/copyright -a -s /usr/share/doc/understudy/balancers/keepalived.conf")
    say("installed: nothing runs, the user is there, configuration and completions are as they should be")


def checked(machine):
    for unit in UNITS:
        said = machine.run(f"systemd-analyze verify --man=no {unit}")
        assert not said.strip(), said
        said = machine.run(f"systemd-analyze security --no-pager --threshold={EXPOSURE} {unit}")
        say(f"{unit}: " + next(line for line in said.splitlines() if "Overall exposure" in line).lstrip("→ "))


def confined(machine):
    """What the units say holds for the processes."""
    for unit in UNITS:
        pid = machine.show(unit, "MainPID")
        status = dict(
            line.split(":", 1) for line in machine.run(f"cat /proc/{pid}/status").splitlines() if ":" in line
        )
        fields = {key: value.split() for key, value in status.items()}
        user = machine.run("id -u understudy").strip()
        assert set(fields["Uid"]) == {user} and user != "0", fields["Uid"]
        assert fields["NoNewPrivs"] == ["1"] and fields["Seccomp"] == ["2"], (fields["NoNewPrivs"], fields["Seccomp"])
        assert all(set(fields[one][0]) == {"0"} for one in ("CapEff", "CapPrm", "CapBnd", "CapAmb")), fields
        # Its own view of the files: nothing but /tmp can be written.
        inside = f"nsenter --target {pid} --mount setpriv --reuid {user} --clear-groups"
        for path in ("/etc/understudy/new", "/var/lib/new", "/usr/new"):
            said = machine.run(f"nsenter --target {pid} --mount touch {path}", check=False)
            assert "Read-only" in said, f"{unit} can write {path}: {said}"
        machine.run(f"{inside} touch /tmp/new")
        machine.run("test ! -e /tmp/new")
    say("running: their own user, no capabilities, seccomp, no new privileges, read-only file systems, a /tmp of their own")


def started(machine):
    machine.run("systemctl enable --now understudy-gateway understudy-consumer@backup")
    replicated("first")
    for unit in UNITS:
        assert machine.show(unit, "ActiveState") == "active"
    said = machine.run("understudy status --config /etc/understudy/understudy.toml", check=False)
    assert "backup" in said, said
    say("started by their units, with the reference configuration as it is: the first document is on the backup")


def secrets(machine):
    """Variables and files of secrets reach the processes, and nobody else can read them."""
    machine.run("install -m 640 -g understudy /dev/null /etc/understudy/secrets/primary && echo hush > /etc/understudy/secrets/primary")
    machine.run("echo UNDERSTUDY_CLUSTERS__PRIMARY__USERNAME=understudy >> /etc/default/understudy")
    machine.run("echo UNDERSTUDY_CLUSTERS__PRIMARY__PASSWORD_FILE=/etc/understudy/secrets/primary >> /etc/default/understudy")
    machine.run("systemctl restart understudy-gateway")
    wait("the gateway is ready", lambda: call(9310, "GET", "/readyz")[0] == 200)
    for path in ("/etc/default/understudy", "/etc/understudy/secrets/primary"):
        denied = machine.run(f"setpriv --reuid nobody --clear-groups cat {path}", check=False)
        assert "Permission denied" in denied, denied
    machine.run("chmod 600 /etc/understudy/secrets/primary")
    machine.run("systemctl restart understudy-gateway", check=False)
    wait("it says what it cannot read", lambda: machine.show(UNITS[0], "ExecMainStatus") == "64")
    time.sleep(2)
    assert machine.show(UNITS[0], "ActiveState") == "failed", "a wrong configuration is tried again and again"
    # What the README says of files that only root reads.
    machine.run(
        "mkdir /etc/systemd/system/understudy-gateway.service.d && sed -i /PASSWORD_FILE/d /etc/default/understudy && "
        "printf '[Service]\\nLoadCredential=primary:/etc/understudy/secrets/primary\\n"
        "Environment=UNDERSTUDY_CLUSTERS__PRIMARY__PASSWORD_FILE=%%d/primary\\n' "
        "> /etc/systemd/system/understudy-gateway.service.d/override.conf && systemctl daemon-reload"
    )
    machine.run("systemctl restart understudy-gateway")
    replicated("credential")
    machine.run("rm -r /etc/systemd/system/understudy-gateway.service.d; systemctl daemon-reload")
    machine.run("echo UNDERSTUDY_CLUSTERS__PRIMARY__PASSWORD_FILE=/etc/understudy/secrets/primary >> /etc/default/understudy")
    machine.run("chmod 640 /etc/understudy/secrets/primary; systemctl restart understudy-gateway")
    replicated("secret")
    say("secrets are read by the services alone; a configuration that cannot be read is not tried again and again")


def upgraded(machine):
    machine.run("sed -i 's/^#max_lag = .*/max_lag = \"17s\"/' /etc/understudy/understudy.toml")
    before = {unit: machine.show(unit, "MainPID") for unit in UNITS}
    begun = time.monotonic()
    machine.run("dpkg --install /packages/2.deb < /dev/null")
    machine.run("grep -q '^max_lag = \"17s\"' /etc/understudy/understudy.toml")
    machine.run("grep -q PASSWORD_FILE= /etc/default/understudy")
    assert machine.run("dpkg-query -W -f '${Version}' understudy").endswith("-2")
    for unit in UNITS:
        wait(f"{unit} is active", lambda unit=unit: machine.show(unit, "ActiveState") == "active")
        assert machine.show(unit, "MainPID") != before[unit], f"{unit} was not restarted"
        assert machine.show(unit, "Result") == "success"
    took = time.monotonic() - begun
    machine.run("test $(stat -c %G /etc/understudy/secrets) = understudy")
    replicated("upgraded")
    say(f"upgraded in {took:.0f} s: what was edited is kept, both services run anew, and replicate")


def killed(machine):
    before = machine.show(UNITS[0], "MainPID")
    machine.run(f"kill -9 {before}")
    wait("systemd starts it again", lambda: machine.show(UNITS[0], "MainPID") not in (before, "0"))
    replicated("killed")
    say("killed: systemd starts it again")


def removed(machine):
    machine.run("dpkg --remove understudy")
    for unit in UNITS:
        assert machine.run(f"systemctl is-active {unit}", check=False).strip() in ("inactive", "unknown"), unit
    assert machine.run("pgrep -u understudy", check=False).strip() in ("", "sh: 1: pgrep: not found")
    machine.run("grep -q '^max_lag = \"17s\"' /etc/understudy/understudy.toml")
    machine.run("dpkg --purge understudy")
    left = machine.run(
        "find / -xdev -path /proc -prune -o -path /sys -prune -o -path /var/log -prune -o -path /packages -prune -o "
        "-path /run -prune -o -name '*understudy*' -print"
    ).split()
    assert not left, f"left behind: {left}"
    owned = machine.run("find / -xdev -user understudy -not -path '/proc/*' -print 2>/dev/null || true").strip()
    assert not owned, f"still of its user: {owned}"
    assert machine.run("systemctl --failed --no-legend --plain").strip() == ""
    say("removed: stopped, configuration kept; purged: nothing is left but the user, which owns nothing")


def main():
    machine = Machine()
    try:
        say("Debian with systemd is up: " + machine.run("systemctl --version").splitlines()[0])
        for step in (installed, checked, started, confined, secrets, killed, upgraded, removed):
            step(machine)
    except AssertionError:
        print(machine.run("journalctl --no-pager -n 40 || true", check=False)[-6000:])
        raise
    finally:
        machine.end()
    say("the package is as it says")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        print(f"deb-test: {error} (logs: {WORK})", file=sys.stderr)
        sys.exit(1)
