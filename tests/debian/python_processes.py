# program: python3
# reference: host
# timeout: 300
# Many processes: fork, multiprocessing in two ways, shared memory, subprocess, pipes, statuses.
import multiprocessing as mp, multiprocessing.shared_memory, os, pty, signal, subprocess, sys, tempfile, time, concurrent.futures

def square(x): return x * x
def pipe_end(connection):
    connection.send([connection.recv() for _ in range(3)])
    connection.close()
def count(value, n):
    for _ in range(n):
        with value.get_lock(): value.value += 1
def fill(name):
    memory = multiprocessing.shared_memory.SharedMemory(name)
    memory.buf[:5] = b'child'
    memory.close()
def die(): os.kill(os.getpid(), signal.SIGKILL)
def leave(): sys.exit(7)

def main():
    for method in ('fork', 'spawn'):
        context = mp.get_context(method)
        with context.Pool(2) as pool:
            print(method, 'pool', sum(pool.map(square, range(200))), pool.apply_async(square, (12,)).get(60))
        here, there = context.Pipe()
        process = context.Process(target=pipe_end, args=(there,))
        process.start()
        for item in (1, 'two', [3.0]): here.send(item)
        print(method, 'pipe', here.recv())
        process.join()
        value = context.Value('i', 0)
        workers = [context.Process(target=count, args=(value, 200)) for _ in range(2)]
        [w.start() for w in workers], [w.join() for w in workers]
        print(method, 'value', value.value)
        for target in (die, leave):
            process = context.Process(target=target)
            process.start(); process.join()
            print(method, target.__name__, process.exitcode)
    memory = multiprocessing.shared_memory.SharedMemory(create=True, size=100)
    process = mp.get_context('fork').Process(target=fill, args=(memory.name,))
    process.start(); process.join()
    print('shared memory', bytes(memory.buf[:5]))
    memory.close(); memory.unlink()
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=mp.get_context('fork')) as executor:
        print('executor', list(executor.map(square, range(5))))
    print('subprocess', subprocess.run(['sh', '-c', 'echo out; echo err >&2; exit 5'], capture_output=True, text=True))
    print('input', subprocess.run(['sort'], input='b\na\n', capture_output=True, text=True).stdout)
    for command in (['/no/such/program'], ['/etc/passwd']):
        try:
            subprocess.run(command)
        except OSError as error:
            print(type(error).__name__)
    try:
        subprocess.run(['sleep', '20'], timeout=0.2)
    except subprocess.TimeoutExpired:
        print('timeout')
    killed = subprocess.Popen(['sleep', '20'], preexec_fn=os.setsid)
    killed.terminate()
    print('terminated', killed.wait())
    print('environment', subprocess.check_output('echo $VALUE', shell=True, env={'VALUE': 'given'}), subprocess.check_output(['pwd'], cwd='/usr'))
    first = subprocess.Popen(['seq', '1000'], stdout=subprocess.PIPE)
    second = subprocess.Popen(['wc', '-l'], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()
    print('pipeline', second.communicate()[0], first.wait())
    child = os.fork()
    if child == 0:
        os._exit(9)
    print('wait', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print('spawn', os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp('sh', ['sh', '-c', 'exit 6'], os.environ), 0)[1]))
    child, terminal = pty.fork()
    if child == 0:
        os.execlp('sh', 'sh', '-c', 'test -t 0 && test -t 1 && stty size >/dev/null 2>&1; echo terminal $?')
    text = b''
    try:
        while part := os.read(terminal, 100): text += part
    except OSError:
        pass
    os.waitpid(child, 0)
    print('pty', text)
    with tempfile.TemporaryDirectory() as directory:
        script = directory + '/script'
        with open(script, 'w') as file: file.write(f'#!{sys.executable} -S\nimport sys\nprint("script", sys.argv[1:])\n')
        os.chmod(script, 0o755)
        print(subprocess.check_output([script, 'a', 'b c']))

if __name__ == '__main__':
    main()
