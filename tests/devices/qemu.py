#!/usr/bin/env python3
"""Devices compared with QEMU's "virt" machine: qemu.py POKE [STEPS [SEED]]

Random register accesses go to both, POKE (poke.c) and qemu-system-riscv64 by its test protocol, and all that is read
must agree. Left out is where QEMU differs from the specification or there is nothing to compare:
- What registers have after reset, where the specification leaves it open or QEMU chose for PCs.
- UART: changes of modem lines in loopback, of which QEMU tells nothing; the received-data time-out, for time stands
  still; a receiver read when it is empty.
- PLIC: a device that takes a request back before it is claimed, or asks again before completion: QEMU forgets it, or
  the second one. The specification's gateway keeps the first, and lets the second through on completion. Thresholds
  other than 0 at a claim: QEMU's claim heeds them.
- APLIC: sources that are levels, which QEMU keeps pending when the level falls, until they are claimed. Targets of sources
  that are not active, which QEMU keeps. Rectified inputs, which QEMU 7 does not rectify. Priorities above 7: QEMU has
  three bits. Whether a new mode makes a source pending, which is open.
- RTC: the time itself, and alarms within an hour of it.
"""
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

SIZES = {'b': 1, 'w': 2, 'l': 4, 'q': 8}
APLIC_M, APLIC_S, APLIC_SOURCES, APLIC_HARTS = 0xc000000, 0xd000000, 95, 8
PLIC, MSWI, MTIMER, RTC, UART = 0xc000000, 0x2000000, 0x2004000, 0x101000, 0x10000000


class Peer:
    """A process that answers each line with one."""

    def __init__(self, command, errors=subprocess.DEVNULL):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                        text=True)

    def ask(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise EOFError(line)
        return answer.strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


QEMU = ['qemu-system-riscv64', '-smp', '8', '-m', '16M', '-S', '-nodefaults', '-display', 'none',
        '-serial', 'null', '-bios', 'none']


def find_controller(machine, name):
    """The path of QEMU's interrupt controller among its objects; of several the first."""
    tree = subprocess.run(QEMU + ['-M', machine, '-monitor', 'stdio'], input='info qom-tree\nquit\n', stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    return '/machine/unattached' + re.search(rf'(/device\[\d+\]) \({name}\)', tree).group(1)


class Pair:
    def __init__(self, poke, log, aplic):
        machine, name = ('virt,aia=aplic', 'riscv.aplic') if aplic else ('virt', 'riscv.sifive.plic')
        self.ours = Peer([poke, 'aplic'] if aplic else [poke])
        self.qemu = Peer(QEMU + ['-M', machine, '-qtest', 'stdio', '-qtest-log', '/dev/null'], log)
        self.said = []
        self.controller = find_controller(machine, name)

    def line(self, source, level):
        self.said.append(f'line {source} {level}')
        self.ours.ask(self.said[-1])
        self.qemu.ask(f'set_irq_in {self.controller} unnamed-gpio-in {source} {level}')

    def write(self, letter, address, value):
        self.said.append(f'write{letter} {address:#x} {value & (1 << 8 * SIZES[letter]) - 1:#x}')
        for peer in self.ours, self.qemu:
            if peer.ask(self.said[-1]) != 'OK':
                raise ValueError(self.said[-1])

    def read(self, letter, address, mask=-1):
        self.said.append(f'read{letter} {address:#x}')
        ours, theirs = (int(peer.ask(self.said[-1]).split()[1], 16) & mask for peer in (self.ours, self.qemu))
        if ours != theirs:
            before = ', '.join(self.said[-25:-1])
            raise ValueError(f'{self.said[-1]}: {ours:#x}, QEMU has {theirs:#x}; before: {before}')
        return ours


def uart(pair, rng, steps):
    for register, value in (4, 0), (3, 0x80), (0, 1), (1, 0), (3, 3):
        pair.write('b', UART + register, value)
    for _ in range(steps):
        register = rng.randrange(8)
        if rng.random() < 0.5:
            if register == 0 and not pair.read('b', UART + 3) & 0x80 and not pair.read('b', UART + 5) & 1:
                continue
            pair.read('b', UART + register, 0xf0 if register == 6 else 0xff)
            continue
        value = rng.choice([rng.randrange(256), rng.choice([0, 1, 3, 7, 0x80, 0x83, 0xc1, 0x81, 0x10])])
        if register == 1:
            value &= ~8
        if register == 3 and value & 0x40:
            value &= ~0x40  # QEMU passes breaks on to its backend, and loses loopback's input meanwhile
        if register in (5, 6):
            continue
        pair.write('b', UART + register, value)


def plic_line(pair, rng, state):
    """A device keeps its line up until it is served, as QEMU expects."""
    source = rng.randrange(1, 96)
    if source not in (10, 11) and state.get(source) is None:
        pair.line(source, 1)
        state[source] = 'pending'


def plic_claim(pair, rng, state):
    context = rng.randrange(16)
    source = pair.read('l', PLIC + 0x200004 + 0x1000 * context)
    if source:
        pair.line(source, 0)
        state[source] = context


def plic_complete(pair, rng, state):
    """Sometimes for a context that has disabled the source, or the wrong source."""
    claimed = [s for s in state if state[s] != 'pending']
    source = rng.choice(claimed) if claimed and rng.random() < 0.8 else rng.randrange(120)
    context = state[source] if source in claimed and rng.random() < 0.8 else rng.randrange(16)
    if source < 96 and source:
        enabled = pair.read('l', PLIC + 0x2000 + 0x80 * context + source // 32 * 4) >> source % 32 & 1
        if not enabled:
            return
    pair.write('l', PLIC + 0x200004 + 0x1000 * context, source)
    if source in claimed:
        del state[source]


def plic_register(pair, rng):
    address = PLIC + rng.choice([4 * rng.randrange(96), 0x1000 + 4 * rng.randrange(3),
                                 0x2000 + 0x80 * rng.randrange(16) + 4 * rng.randrange(3),
                                 0x200000 + 0x1000 * rng.randrange(16)])
    if rng.random() < 0.5 or 0x1000 <= address - PLIC < 0x2000 or address == PLIC:
        pair.read('l', address)
        return
    value = rng.getrandbits(32)
    if 0x2000 <= address - PLIC < 0x200000 and (address & 0x7f) == 0:
        value &= ~1
    pair.write('l', address, value & 7 if address >= PLIC + 0x200000 or address < PLIC + 0x1000 else value)
    if address >= PLIC + 0x200000:
        pair.read('l', address)
        pair.write('l', address, 0)


def plic(pair, rng, steps):
    state = {}
    for context in range(16):
        for word in range(3):
            pair.write('l', PLIC + 0x2000 + 0x80 * context + 4 * word, 0xfffffffe if word == 0 else 0xffffffff)
    for _ in range(steps):
        what = rng.randrange(8)
        if what < 2:
            plic_register(pair, rng)
        elif what < 4:
            plic_line(pair, rng, state)
        elif what < 6:
            plic_claim(pair, rng, state)
        else:
            plic_complete(pair, rng, state)


def aplic_mode(pair, domain, source, mode, modes):
    """A source that becomes active gets a target anew; whether it is pending then is open."""
    pair.write('l', domain + 4 * source, mode)
    pair.write('l', domain + 0x1ddc, source)
    if mode and not modes.get(source):
        pair.write('l', domain + 0x3000 + 4 * source, source % APLIC_HARTS << 18 | 1 + source % 7)
    modes[source] = mode


def aplic_register(pair, rng, domain, modes):
    words = [0x1c00, 0x1d00, 0x1e00, 0x1f00]
    shown = [0x1c00, 0x1e00, 0x1f00]
    numbers = [0x1cdc, 0x1ddc, 0x1edc, 0x1fdc, 0x2000]
    source = rng.choice(list(modes))
    target = domain + 0x3000 + 4 * rng.choice([s for s in modes if modes[s]])
    what = rng.randrange(8)
    if what == 0:
        pair.write('l', domain, rng.choice([0, 0x100, 0x100]))
    elif what == 1:
        aplic_mode(pair, domain, source, rng.choice([0, 1, 4, 5]), modes)
    elif what == 2:
        pair.write('l', target, rng.randrange(APLIC_HARTS) << 18 | rng.randrange(1, 8))
    elif what < 5:
        pair.write('l', domain + rng.choice(words) + 4 * rng.randrange(3), rng.getrandbits(32) & rng.getrandbits(32))
    elif what == 5:
        pair.write('l', domain + rng.choice(numbers), source)
    else:
        pair.read('l', rng.choice([domain, domain + 4 * source, target, domain + rng.choice(shown) + 4 * rng.randrange(3),
                                   domain + rng.choice(numbers)]))


def aplic_hart(pair, rng, domain):
    idc = domain + 0x4000 + 32 * rng.randrange(APLIC_HARTS)
    what = rng.randrange(6)
    if what == 0:
        pair.write('l', idc + rng.choice([0, 4]), rng.randrange(2))
    elif what == 1:
        pair.write('l', idc + 8, rng.choice([0, rng.randrange(8)]))
    else:
        pair.read('l', idc + rng.choice([0, 4, 8, 0x18, 0x1c, 0x1c]))


def aplic_clear(pair, domain, source):
    """QEMU 7 begins with what was in memory, and changes nothing of a source that is not active."""
    pair.write('l', domain + 4 * source, 4)
    if source <= APLIC_SOURCES:
        pair.line(source, 0)
    pair.write('l', domain + 0x1ddc, source)
    pair.write('l', domain + 0x1fdc, source)


def aplic(pair, rng, steps):
    modes = {APLIC_M: {}, APLIC_S: {}}
    for source in range(1, APLIC_SOURCES + 2):  # QEMU has one more
        aplic_clear(pair, APLIC_M, source)
        pair.write('l', APLIC_M + 4 * source, 0x400)
        aplic_clear(pair, APLIC_S, source)
        pair.write('l', APLIC_S + 4 * source, 0)
    for source in range(1, APLIC_SOURCES + 1):
        domain = APLIC_S if source % 4 else APLIC_M
        aplic_mode(pair, domain, source, 4, modes[domain])
    for _ in range(steps):
        what, domain = rng.randrange(8), rng.choice(list(modes))
        if what < 3:
            aplic_register(pair, rng, domain, modes[domain])
        elif what < 6:
            aplic_hart(pair, rng, domain)
        else:
            source = rng.choice([s for s in range(1, APLIC_SOURCES + 1) if s not in (10, 11)])
            pair.line(source, rng.randrange(2))


def aclint(pair, rng, steps):
    for hart in range(8):
        pair.write('q', MTIMER + 8 * hart, 0)
    for _ in range(steps):
        what = rng.randrange(4)
        if what == 0:
            pair.write('l', MSWI + 4 * rng.randrange(8), rng.getrandbits(32))
        elif what == 1:
            pair.read('l', MSWI + 4 * rng.randrange(8))
        else:
            letter = rng.choice('lq')
            address = MTIMER + (4 * rng.randrange(16) if letter == 'l' else 8 * rng.randrange(8))
            if what == 2:
                pair.write(letter, address, rng.getrandbits(64))
            else:
                pair.read(letter, address)


def rtc(pair, rng, steps):
    for _ in range(steps):
        register = rng.choice([8, 12, 16, 20, 24, 28])
        if register in (8, 12, 16, 24) and rng.random() < 0.5:
            pair.read('l', RTC + register)
        elif register == 8:
            pair.write('l', RTC + 12, rng.choice([0, 0x1000, 0x60000000, 0x70000000]))
            pair.write('l', RTC + 8, rng.getrandbits(32))
        elif register in (16, 20, 28):
            pair.write('l', RTC + register, rng.getrandbits(1))
        pair.read('l', PLIC + 0x1000)


def main():
    poke, steps, seed = sys.argv[1], int((sys.argv[2:] or ['4000'])[0]), int((sys.argv[3:] or ['1'])[0])
    if not shutil.which('qemu-system-riscv64'):
        print('1..0 # SKIP qemu-system-riscv64 is not installed')
        return 0
    tests = [uart, plic, aplic, aclint, rtc]
    print(f'1..{len(tests)}')
    failed = 0
    for number, test in enumerate(tests, 1):
        with tempfile.TemporaryFile('w+') as log:
            pair = None
            try:
                pair = Pair(poke, log, test is aplic)
                test(pair, random.Random(seed), steps)
                print(f'ok {number} - {test.__name__}')
            except (ValueError, EOFError, IndexError) as error:
                log.seek(0)
                print(f'not ok {number} - {test.__name__}\n# {error!r}\n# ' + log.read()[-500:].replace('\n', '\n# '))
                failed = 1
            if pair:
                pair.ours.close()
                pair.qemu.process.kill()
                pair.qemu.process.wait()
    return failed


sys.exit(main())
