"""What the benchmarks have in common: programs, data to work on, a root with Debian's riscv64 programs."""
import math
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FLAGS = ['-O2', '-static', '-ffp-contract=off']
CROSS, NATIVE = 'riscv64-linux-gnu-gcc', 'gcc'


def compile_c(compiler, sources, output):
    subprocess.run([compiler, *FLAGS, '-o', str(output), *map(str, sources), '-lm'], check=True)


def make_text(path, size):
    state, out = 1, []
    vocabulary = [f'{stem}{end}' for stem in ('mach', 'regist', 'memor', 'instruct', 'emulat', 'trap', 'virtu', 'page')
                  for end in ('ine', 'er', 'y', 'ion', 'or', 's', 'al', ' table', 'ed, ', 'ing.\n')]
    length = 0
    while length < size:
        state = (state * 1103515245 + 12345) & 0x7fffffff
        word = vocabulary[(state >> 8) % len(vocabulary)] + (str(state) if state % 5 == 0 else ' ')
        out.append(word)
        length += len(word)
    path.write_text(''.join(out)[:size])


def make_c(path, functions):
    """30 lines a function, as people write them: a comment, a type, a table, arithmetic, a loop, decisions, calls."""
    out = ['struct item { struct item *next; int key; double weight; char name[16]; };', 'extern int puts(const char *);']
    for i in range(functions):
        call = f'walk{i - 1}(list->next, n / 2)' if i else 'n'
        table = [f'    {", ".join(str((i * 37 + (row * 8 + k) * 11) % 97) for k in range(8))},' for row in range(4)]
        out += [
            '', f'/* Part {i}: walks the list once,', ' * gives each item a new weight,', ' * and returns a sum over all. */',
            f'struct pair{i} {{', '    short low;', f'    long high[{i % 5 + 1}];', '};', '',
            f'static const int table{i}[] = {{', *table, '};', '',
            f'__attribute__((noinline)) long walk{i}(struct item *list, int n)', '{',
            f'    struct pair{i} pair = {{{i}, {{n}}}};', '    long sum = pair.low;', f'    for (int i = 0; i < n; i += {i % 3 + 1})',
            f'        sum += table{i}[(i + {i % 7}) & 31] * (long)list->key;',
            f'    if (list->key > {i % 50} && list->name[{i % 16}] != 0)', f'        sum ^= sum << {i % 11 + 1};',
            f'    list->weight = list->weight * {i % 9 + 1}.5 + (double)sum;',
            f'    list->name[{i % 15}] = (char)(list->key + {i % 26});', f'    if (sum == {i * 7919})', f'        puts("{i}");',
            f'    return n > {i % 17 + 3} ? sum + {call} : sum + pair.high[0];', '}']
    path.write_text('\n'.join(out) + '\n')


def compiler_proper(root):
    """The compiler itself, without its driver: one process."""
    if root:
        found = sorted(pathlib.Path(root).glob('usr/libexec/gcc/riscv64-linux-gnu/*/cc1'))
        return '/' + str(found[-1].relative_to(root)) if found else None
    done = subprocess.run([NATIVE, '-print-prog-name=cc1'], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def cache():
    return pathlib.Path(os.environ.get('GUISE_TEST_CACHE') or pathlib.Path.home() / '.cache/guise-tests')


def find_root(guise, root=None):
    """The root that tests/debian keeps; made by it when there is none."""
    given = root or os.environ.get('GUISE_TEST_ROOT')
    if given:
        return given.rstrip('/')
    root = cache() / 'images/debian/trixie-tests'
    if not root.is_dir():
        print('making a Debian root for riscv64 (once) ...', file=sys.stderr)
        subprocess.run([HERE.parent / 'tests/debian/run', guise, 'busybox'], stdout=subprocess.DEVNULL, check=False)
    return str(root) if root.is_dir() else None


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else float('nan')
