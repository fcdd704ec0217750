# program: python3
# reference: host
# timeout: 300
# Threads, queues, executors, asyncio with servers and subprocesses, signals; all of it with a TLS connection.
import asyncio, concurrent.futures, os, queue, select, signal, socket, socketserver, ssl, subprocess, sys, tempfile, threading, time, http.server, urllib.request

total, lock = 0, threading.Lock()
def add(n):
    global total
    for _ in range(2000):
        with lock:
            total += n
threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
[t.start() for t in threads], [t.join() for t in threads]
print('threads', total)
work, done = queue.Queue(), queue.Queue()
def worker():
    while (item := work.get()) is not None:
        done.put(item * item)
pool = [threading.Thread(target=worker) for _ in range(4)]
[t.start() for t in pool]
for i in range(500): work.put(i)
for _ in pool: work.put(None)
[t.join() for t in pool]
print('queue', sum(done.get() for _ in range(500)))
barrier, event, condition, local, seen = threading.Barrier(5), threading.Event(), threading.Condition(), threading.local(), []
def meet(i):
    local.value = i
    barrier.wait()
    event.wait()
    with condition:
        seen.append(local.value)
        condition.notify_all()
meeting = [threading.Thread(target=meet, args=(i,)) for i in range(5)]
[t.start() for t in meeting]
event.set()
with condition:
    condition.wait_for(lambda: len(seen) == 5)
print('barrier', sorted(seen))
with concurrent.futures.ThreadPoolExecutor(4) as executor:
    print('executor', sum(executor.map(lambda n: n ** 2, range(100))))
timer = threading.Timer(0.05, lambda: print('timer'))
timer.start(); timer.join()

async def asynchronous():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
    server = await asyncio.start_server(serve, '127.0.0.1', 0)
    port = server.sockets[0].getsockname()[1]
    async def client(n):
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        writer.write(f'client {n}\n'.encode())
        reply = await reader.readline()
        writer.close()
        return reply.decode().strip()
    print('asyncio', await asyncio.gather(*(client(i) for i in range(5))))
    process = await asyncio.create_subprocess_exec('tr', 'a-z', 'A-Z', stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    print('subprocess', (await process.communicate(b'text'))[0], process.returncode)
    try:
        await asyncio.wait_for(asyncio.sleep(30), 0.05)
    except asyncio.TimeoutError:
        print('timeout')
    print('to_thread', await asyncio.to_thread(sum, range(1000)))
    loop, fired = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, fired.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(fired.wait(), 20)
    print('signal')
    server.close()
asyncio.run(asynchronous())

with tempfile.TemporaryDirectory() as directory:
    key, certificate = directory + '/key', directory + '/certificate'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', certificate,
                    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '5'], check=True, stderr=subprocess.DEVNULL)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    listener = socket.create_server(('127.0.0.1', 0))
    def serve():
        connection, _ = listener.accept()
        with server_context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(tls.recv(100)[::-1] * 1000)
    thread = threading.Thread(target=serve)
    thread.start()
    client_context = ssl.create_default_context(cafile=certificate)
    with client_context.wrap_socket(socket.create_connection(listener.getsockname()), server_hostname='localhost') as tls:
        version = tls.version()
        tls.sendall(b'drawkcab')
        received = b''
        while part := tls.recv(4096):
            received += part
        print('tls', version, received == b'backward' * 1000)
    thread.join()
    os.chdir(directory)
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    with open('page', 'w') as page: page.write('contents ' * 1000)
    with socketserver.ThreadingTCPServer(('127.0.0.1', 0), Quiet) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        print('http', len(urllib.request.urlopen(f'http://127.0.0.1:{httpd.server_address[1]}/page').read()))
        httpd.shutdown()
    os.chdir('/')

hits = []
signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
while len(hits) < 5: sum(range(1000))
signal.setitimer(signal.ITIMER_REAL, 0)
print('alarms', len(hits) >= 5)
r, w = os.pipe()
poller = select.epoll(); poller.register(r, select.EPOLLIN)
os.write(w, b'x'); print('epoll', len(poller.poll(5)))
