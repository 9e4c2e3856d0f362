"""The table of scripts/cost: CPU seconds of each phase that a command names on stderr, the least of several runs.

    python cost.py RUNS COMMAND ...

The last column is of runs that find what the first one kept; the first leaves it (`--no-cache`) alone.
"""
import os
import subprocess
import sys

TICKS = os.sysconf("SC_CLK_TCK")


def spent(pid):
    """User and system seconds of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(command):
    """Seconds by phase, in order; what comes before the first is called `start`."""
    before = os.times()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    phases, name, since = {}, "start", 0.0
    for line in process.stderr:
        if line.startswith(" "):
            continue
        now = spent(process.pid)
        phases[name] = phases.get(name, 0.0) + now - since
        name, since = line.strip(), now
    process.wait()
    after = os.times()
    whole = after.children_user + after.children_system - before.children_user - before.children_system
    phases[name] = phases.get(name, 0.0) + whole - since
    if process.returncode not in (0, 1):
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return phases | {"in all": whole}


def least(runs):
    return {name: min(run.get(name, 0.0) for run in runs) for name in runs[0]}


def main():
    times, *command = sys.argv[1:]
    # The first run that keeps anything finds nothing kept.
    run(command)
    fresh, kept = [], []
    for _ in range(int(times)):
        fresh.append(run([*command, "--no-cache"]))
        kept.append(run(command))
    fresh, kept = least(fresh), least(kept)
    print("| phase | CPU s | with what an earlier run kept |")
    print("|---|---|---|")
    for name, seconds in fresh.items():
        print(f"| {name} | {seconds:.2f} | {kept.get(name, 0.0):.2f} |")


if __name__ == "__main__":
    main()
