/* Frames over a socket. The test is the other end. */
#include "base/util.h"
#include "net/frames.h"
#include "net/stream.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct loop loop;
    struct net *net;
    int other;
    pthread_mutex_t lock;
    unsigned received, room, writable, rounds;
    uint8_t last[NET_MAX_FRAME];
    size_t length;
};

static bool on_receive(void *client, const uint8_t *frame, size_t length)
{
    struct fixture *f = client;
    assert_int_not_equal(pthread_mutex_trylock(&f->lock), 0);
    if (!f->room)
        return false;
    f->room--;
    f->received++;
    memcpy(f->last, frame, length);
    f->length = length;
    return true;
}

static void on_writable(void *client)
{
    ((struct fixture *)client)->writable++;
}

static int start(void **state)
{
    static const struct net_client_ops ops = {.receive = on_receive, .writable = on_writable};
    static struct fixture f;
    int fds[2];
    f = (struct fixture){.room = 1000};
    *state = &f;
    pthread_mutex_init(&f.lock, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    f.other = fds[1];
    assert_int_equal(loop_init(&f.loop, NULL), 0);
    assert_int_equal(net_stream_new(&f.net, &f.loop, fds[0], true, NULL), 0);
    assert_true(f.net->checked);
    net_attach(f.net, &ops, &f, &f.lock);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    net_release(f->net);
    loop_release(&f->loop);
    if (f->other >= 0)
        close(f->other);
    return 0;
}

/* ---- The loop, a few rounds that wait for nothing ---- */

static uint64_t no_time(void *object)
{
    (void)object;
    return 0;
}

static void stop_in_time(void *object)
{
    struct fixture *f = object;
    if (++f->rounds == 5)
        loop_stop(&f->loop);
}

static void serve(struct fixture *f)
{
    f->rounds = 0;
    f->loop.stopped = false;
    f->loop.timeout = no_time;
    f->loop.expire = stop_in_time;
    f->loop.object = f;
    loop_run(&f->loop);
}

static void put(struct fixture *f, const uint8_t *frame, uint32_t length)
{
    uint32_t header = htonl(length);
    assert_int_equal(write(f->other, &header, 4), 4);
    assert_int_equal(write(f->other, frame, length), length);
}

static bool send_frame(struct fixture *f, const uint8_t *frame, size_t length)
{
    pthread_mutex_lock(&f->lock);
    bool taken = net_send(f->net, frame, length);
    net_flush(f->net);
    pthread_mutex_unlock(&f->lock);
    return taken;
}

/* ---- Tests ---- */

static const uint8_t sample[2000] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void frames_are_received(void **state)
{
    struct fixture *f = *state;
    put(f, sample, 14);
    put(f, sample, 2000);
    serve(f);
    assert_int_equal(f->received, 2);
    assert_int_equal(f->length, 2000);
    assert_memory_equal(f->last, sample, 2000);
}

static void frames_may_come_in_pieces(void **state)
{
    struct fixture *f = *state;
    uint32_t header = htonl(100);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(write(f->other, (uint8_t *)&header + i, 1), 1);
        serve(f);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(f->received, 0);
        assert_int_equal(write(f->other, sample + i, 1), 1);
        if (i % 30 == 29 || i == 99)
            serve(f);
    }
    assert_int_equal(f->received, 1);
    assert_memory_equal(f->last, sample, 100);
}

static void a_client_without_room_gets_them_later(void **state)
{
    struct fixture *f = *state;
    f->room = 1;
    for (int i = 0; i < 3; i++)
        put(f, sample, 100);
    serve(f);
    assert_int_equal(f->received, 1);
    f->room = 10;
    serve(f);
    assert_int_equal(f->received, 1);
    net_resume(f->net);
    assert_int_equal(f->received, 1); /* not from within */
    serve(f);
    assert_int_equal(f->received, 3);
}

static void frames_are_sent(void **state)
{
    struct fixture *f = *state;
    uint8_t got[204];
    assert_true(send_frame(f, sample, 100));
    assert_true(send_frame(f, sample, 96));
    assert_int_equal(read(f->other, got, sizeof(got)), 204);
    assert_memory_equal(got, "\0\0\0\144", 4);
    assert_memory_equal(got + 4, sample, 100);
    assert_memory_equal(got + 104, "\0\0\0\140", 4);
    assert_memory_equal(got + 108, sample, 96);
}

/* A batch goes together; a client that was refused room is told by the loop, even if there is some at once. */
static void a_batch_waits_for_its_flush(void **state)
{
    struct fixture *f = *state;
    uint8_t got[4096];
    pthread_mutex_lock(&f->lock);
    assert_true(net_send(f->net, sample, 100));
    assert_int_equal(recv(f->other, got, sizeof(got), MSG_DONTWAIT), -1);
    while (net_send(f->net, sample, 2000))
        ;
    net_flush(f->net);
    assert_int_equal(recv(f->other, got, sizeof(got), MSG_DONTWAIT), sizeof(got));
    pthread_mutex_unlock(&f->lock);
    assert_int_equal(f->writable, 0);
    do
        serve(f);
    while (recv(f->other, got, sizeof(got), MSG_DONTWAIT) > 0);
    assert_int_equal(f->writable, 1);
}

/* Nothing is lost or out of order when the other end is slow. */
static void a_slow_reader_makes_the_client_wait(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[1500] = {0}, got[1504];
    uint32_t sent = 0, read_frames = 0;
    for (;; sent++) {
        memcpy(frame, &sent, sizeof(sent));
        if (!send_frame(f, frame, sizeof(frame)))
            break;
    }
    assert_true(sent > FRAMES_CAPACITY / sizeof(got));
    serve(f);
    assert_int_equal(f->writable, 0);
    for (; read_frames < sent; read_frames++) {
        assert_int_equal(recv(f->other, got, sizeof(got), MSG_WAITALL), sizeof(got));
        assert_memory_equal(got + 4, &read_frames, sizeof(read_frames));
        serve(f);
    }
    assert_int_equal(f->writable, 1);
    assert_true(send_frame(f, frame, sizeof(frame)));
}

/* The other end is gone: frames go nowhere, and the loop has nothing to do with it any more. */
static void an_end_is_survived(void **state)
{
    struct fixture *f = *state;
    put(f, sample, 100);
    close(f->other);
    f->other = -1;
    serve(f);
    assert_int_equal(f->received, 1);
    assert_true(send_frame(f, sample, 100));
    serve(f);
    assert_int_equal(((struct loop_source *)f->loop.first)->wanted, 0);
}

static void nonsense_is_an_end(void **state)
{
    struct fixture *f = *state;
    const uint32_t bad[] = {0, 13, NET_MAX_FRAME + 1, UINT32_MAX};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct frames frames;
        int fds[2];
        uint32_t header = htonl(bad[i]);
        assert_true(frames_init(&frames));
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        assert_int_equal(write(fds[1], &header, 4), 4);
        assert_false(frames_read(&frames, fds[0]));
        frames_release(&frames);
        close(fds[0]);
        close(fds[1]);
    }
    put(f, sample, 13);
    put(f, sample, 100);
    serve(f);
    assert_int_equal(f->received, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(frames_are_received),
        TEST(frames_may_come_in_pieces),
        TEST(a_client_without_room_gets_them_later),
        TEST(frames_are_sent),
        TEST(a_batch_waits_for_its_flush),
        TEST(a_slow_reader_makes_the_client_wait),
        TEST(an_end_is_survived),
        TEST(nonsense_is_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
