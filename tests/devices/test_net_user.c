/* The user-mode network: the test is a guest that speaks Ethernet, and the host's programs beside it. */
#include "base/util.h"
#include "net/forward.h"
#include "net/slirp.h"
#include "net/user.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SECONDS = 20 };
enum { ETHERNET = 14, ARP = 0x0806, IPV4 = 0x0800, UDP = 17, TCP = 6 };

static const uint8_t guest_mac[] = {0x52, 0x54, 0, 0x12, 0x34, 0x56}, guest_ip[] = {10, 0, 2, 15},
                     host_ip[] = {10, 0, 2, 2};

struct fixture {
    struct net_slirp *slirp;
    pthread_t thread;
    int guest, far; /* both ends of the socket */
    uint8_t host_mac[6];
    uint8_t frame[2048];
    size_t length;
};

/* ---- Frames ---- */

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void send_frame(struct fixture *f, const uint8_t *frame, uint32_t length)
{
    uint32_t header = htonl(length);
    assert_int_equal(send(f->guest, &header, 4, 0), 4);
    assert_int_equal(send(f->guest, frame, length, 0), length);
}

static void receive(int fd, void *to, size_t length)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, SECONDS * 1000), 1);
    assert_int_equal(recv(fd, to, length, MSG_WAITALL), length);
}

/* The next frame of a type and, if it is IPv4, of a protocol. */
static void await_frame(struct fixture *f, unsigned type, unsigned protocol)
{
    for (;;) {
        uint32_t header;
        receive(f->guest, &header, 4);
        f->length = ntohl(header);
        assert_true(f->length <= sizeof(f->frame));
        receive(f->guest, f->frame, f->length);
        if (get16(f->frame + 12) == type && (type != IPV4 || f->frame[ETHERNET + 9] == protocol))
            return;
    }
}

static void start_frame(struct fixture *f, uint8_t *frame, unsigned type)
{
    memcpy(frame, f->host_mac, 6);
    memcpy(frame + 6, guest_mac, 6);
    put16(frame + 12, type);
}

/* Who has 10.0.2.2? Tells who has 10.0.2.15, too. */
static void resolve(struct fixture *f)
{
    uint8_t frame[60] = {0}, *arp = frame + ETHERNET;
    memset(f->host_mac, 0xff, 6);
    start_frame(f, frame, ARP);
    memcpy(arp, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
    memcpy(arp + 8, guest_mac, 6);
    memcpy(arp + 14, guest_ip, 4);
    memcpy(arp + 24, host_ip, 4);
    send_frame(f, frame, sizeof(frame));
    do
        await_frame(f, ARP, 0);
    while (get16(f->frame + ETHERNET + 6) != 2);
    assert_memory_equal(f->frame + ETHERNET + 14, host_ip, 4);
    memcpy(f->host_mac, f->frame + ETHERNET + 8, 6);
}

static void put_checksum(uint8_t *at, const uint8_t *bytes, size_t length)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2)
        sum += get16(bytes + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(at, ~sum);
}

static void send_udp(struct fixture *f, uint16_t port, const void *data, uint32_t length)
{
    uint8_t frame[600] = {0}, *ip = frame + ETHERNET, *udp = ip + 20;
    start_frame(f, frame, IPV4);
    ip[0] = 0x45;
    put16(ip + 2, 28 + length);
    ip[8] = 64;
    ip[9] = UDP;
    memcpy(ip + 12, guest_ip, 4);
    memcpy(ip + 16, host_ip, 4);
    put_checksum(ip + 10, ip, 20);
    put16(udp, 4444);
    put16(udp + 2, port);
    put16(udp + 4, 8 + length);
    memcpy(udp + 8, data, length);
    send_frame(f, frame, ETHERNET + 28 + length);
}

/* ---- The host ---- */

static int host_socket(int type, uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, type, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_true(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS);
    return fd;
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    uint16_t port;
    close(host_socket(SOCK_STREAM, &port));
    return port;
}

/* ---- The network ---- */

static void *run(void *object)
{
    net_slirp_run(object);
    return NULL;
}

static void open_network(struct fixture *f, const struct net_forward *forwards, unsigned count)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    f->guest = fds[0];
    f->far = fds[1];
    assert_int_equal(net_slirp_new(&f->slirp, f->far, forwards, count, NULL), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f->slirp), 0);
}

static void close_network(struct fixture *f)
{
    close(f->guest);
    pthread_join(f->thread, NULL);
    net_slirp_free(f->slirp);
    close(f->far);
}

static void a_guest_reaches_the_hosts_loopback(void **state)
{
    struct fixture f;
    uint16_t port;
    char got[16] = {0};
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);
    (void)state;
    open_network(&f, NULL, 0);
    int server = host_socket(SOCK_DGRAM, &port);
    resolve(&f);
    send_udp(&f, port, "ping", 4);
    struct pollfd p = {.fd = server, .events = POLLIN};
    assert_int_equal(poll(&p, 1, SECONDS * 1000), 1);
    assert_int_equal(recvfrom(server, got, sizeof(got), 0, (struct sockaddr *)&peer, &length), 4);
    assert_string_equal(got, "ping");
    assert_int_equal(sendto(server, "pong", 4, 0, (struct sockaddr *)&peer, length), 4);
    await_frame(&f, IPV4, UDP);
    assert_memory_equal(f.frame + ETHERNET + 12, host_ip, 4);
    assert_int_equal(get16(f.frame + ETHERNET + 20), port);
    assert_int_equal(get16(f.frame + ETHERNET + 22), 4444);
    assert_memory_equal(f.frame + ETHERNET + 28, "pong", 4);
    close(server);
    close_network(&f);
}

static void a_forwarded_port_reaches_the_guest(void **state)
{
    struct fixture f;
    struct net_forward forward;
    char text[64];
    uint16_t port = free_port();
    (void)state;
    snprintf(text, sizeof(text), "tcp::%u-:22", port);
    assert_int_equal(net_forward_parse(&forward, text, NULL), 0);
    open_network(&f, &forward, 1);
    resolve(&f);
    int client = connect_to(port);
    await_frame(&f, IPV4, TCP);
    const uint8_t *tcp = f.frame + ETHERNET + 20;
    assert_memory_equal(f.frame + ETHERNET + 16, guest_ip, 4);
    assert_int_equal(get16(tcp + 2), 22);
    assert_int_equal(tcp[13] & 0x12, 2); /* SYN */
    close(client);
    close_network(&f);
}

static void forwards_are_read(void **state)
{
    struct net_forward f;
    static const char *const bad[] = {
        "",           "tcp",         "tcp:8022",        "tcp::0-:22",      "tcp::65536-:22",
        "tcp::1-:",   "tcp::1-:22x", "sctp::1-:22",     "tcp:1.2.3:1-:22", "tcp:localhost:1-:22",
        "tcp::-1-:1", "tcp:: 1-:22", "tcp::1-1.2.3.4:", "tcp::1:22"};
    struct guise_error err;
    (void)state;
    assert_int_equal(net_forward_parse(&f, "udp:192.0.2.1:53-10.0.2.99:5353", NULL), 0);
    assert_true(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), 0xc0000201);
    assert_int_equal(ntohl(f.guest.s_addr), 0x0a000263);
    assert_int_equal(f.host_port, 53);
    assert_int_equal(f.guest_port, 5353);
    assert_int_equal(net_forward_parse(&f, "tcp::8022-:22", NULL), 0);
    assert_false(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), 0x7f000001);
    assert_int_equal(ntohl(f.guest.s_addr), 0x0a00020f);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(net_forward_parse(&f, bad[i], &err), GUISE_E_USAGE);
}

/* ---- The process ---- */

struct process {
    struct loop loop;
    struct net_user user;
    struct net_user_config config;
    struct guise_error err;
};

static bool take_reply(void *client, const uint8_t *frame, size_t length)
{
    struct process *p = client;
    if (length >= ETHERNET + 28 && get16(frame + 12) == ARP && get16(frame + ETHERNET + 6) == 2)
        loop_stop(&p->loop);
    return true;
}

static void send_request(struct process *p)
{
    uint8_t frame[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    memcpy(frame + 6, guest_mac, 6);
    put16(frame + 12, ARP);
    memcpy(frame + ETHERNET, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
    memcpy(frame + ETHERNET + 8, guest_mac, 6);
    memcpy(frame + ETHERNET + 14, guest_ip, 4);
    memcpy(frame + ETHERNET + 24, host_ip, 4);
    assert_true(net_send(p->user.net, frame, sizeof(frame)));
    net_flush(p->user.net);
}

static int open_process(void **state)
{
    static struct process p;
    p = (struct process){.config.helper = getenv("GUISE_NET")};
    *state = &p;
    if (!p.config.helper)
        p.config.helper = "build/guise-net";
    return loop_init(&p.loop, NULL);
}

static int close_process(void **state)
{
    struct process *p = *state;
    loop_release(&p->loop);
    return 0;
}

static void the_network_is_a_process(void **state)
{
    static const struct net_client_ops ops = {.receive = take_reply};
    struct process *p = *state;
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    assert_int_equal(net_user_start(&p->user, &p->loop, &p->config, &p->err), 0);
    net_attach(p->user.net, &ops, p, &lock);
    send_request(p);
    loop_run(&p->loop);
    net_attach(p->user.net, NULL, NULL, NULL);
    net_user_stop(&p->user);
}

static void what_goes_wrong_is_said(void **state)
{
    struct process *p = *state;
    uint16_t port;
    char text[64];
    const char *forward = text;
    int taken = host_socket(SOCK_STREAM, &port);
    assert_int_equal(listen(taken, 1), 0);
    p->config.forwards = &forward;
    p->config.count = 1;
    snprintf(text, sizeof(text), "tcp::%u-:22", port);
    assert_int_equal(net_user_start(&p->user, &p->loop, &p->config, &p->err), GUISE_E_CONFIG);
    assert_non_null(strstr(p->err.text, "127.0.0.1"));
    forward = "tcp:nonsense";
    assert_int_equal(net_user_start(&p->user, &p->loop, &p->config, &p->err), GUISE_E_USAGE);
    p->config.count = 0;
    p->config.helper = "/nonexistent/guise-net";
    assert_int_equal(net_user_start(&p->user, &p->loop, &p->config, &p->err), GUISE_E_SYSTEM);
    close(taken);
}

int main(void)
{
    alarm(120); /* a test that waits for what does not come is a failure, not a test that lasts */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_reaches_the_hosts_loopback),
        cmocka_unit_test(a_forwarded_port_reaches_the_guest),
        cmocka_unit_test(forwards_are_read),
        cmocka_unit_test_setup_teardown(the_network_is_a_process, open_process, close_process),
        cmocka_unit_test_setup_teardown(what_goes_wrong_is_said, open_process, close_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
