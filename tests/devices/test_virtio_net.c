#include "devices/virtio/net.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"
#include "test_net.h"
#include "virtio_driver.h"

enum { PAIRS = 3, CONTROL = 2 * PAIRS, HEADER = 12, QUEUE_SIZE = 32 };

#define F_GUEST_CSUM VIRTIO_F(1)
#define F_MRG_RXBUF  VIRTIO_F(15)
#define F_MQ         VIRTIO_F(22)

struct fixture {
    struct driver driver;
    struct virtio_net vn;
    struct virtio_mmio mmio;
    struct test_lines lines;
    struct test_net net;
};

static const uint8_t mac[] = {0x52, 0x54, 0, 1, 2, 3};

static int start(void **state)
{
    static struct fixture f;
    *state = &f;
    memset(&f.lines, 0, sizeof(f.lines));
    driver_init(&f.driver);
    test_net_init(&f.net, 1000);
    virtio_net_init(&f.vn, &f.net.net, mac, PAIRS, &f.driver.mem, f.driver.runner);
    virtio_mmio_init(&f.mmio, &f.vn.device, test_line(&f.lines, 0));
    f.driver.transport = &driver_mmio;
    f.driver.object = &f.mmio;
    driver_start(&f.driver, UINT64_MAX, 2 * PAIRS + 1, QUEUE_SIZE);
    return 0;
}

static int stop(void **state)
{
    struct fixture *f = *state;
    virtio_net_release(&f->vn);
    driver_release(&f->driver);
    return 0;
}

/* A frame of an IPv4 flow that port numbers tell apart. */
static void make_frame(uint8_t *frame, size_t length, uint16_t port)
{
    for (size_t i = 0; i < length; i++)
        frame[i] = (uint8_t)(i * 7);
    frame[12] = 0x08;
    frame[13] = 0x00;
    memcpy(frame + 14 + 20, (uint8_t[]){(uint8_t)(port >> 8), (uint8_t)port, 0, 80}, 4);
}

static uint64_t add_buffer(struct fixture *f, unsigned queue, uint32_t length)
{
    struct driver_segment s = {driver_alloc(&f->driver, length), length, true};
    driver_add(&f->driver, &f->driver.queues[queue], &s, 1);
    return s.gpa;
}

static bool used(struct fixture *f, unsigned queue, uint32_t *written)
{
    uint32_t head;
    return driver_used(&f->driver, &f->driver.queues[queue], &head, written);
}

static const void *at(struct fixture *f, uint64_t gpa, uint64_t length)
{
    return gmem_slice(&f->driver.mem, gpa, length, GMEM_READ);
}

/* ---- Reception ---- */

static void a_frame_is_received(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[100];
    static const uint8_t header[HEADER] = {[0] = 2, [10] = 1};
    uint32_t written;
    make_frame(frame, sizeof(frame), 1);
    uint64_t gpa = add_buffer(f, 0, 2048);
    driver_kick(&f->driver, &f->driver.queues[0]);
    assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
    assert_true(used(f, 0, &written));
    assert_int_equal(written, HEADER + sizeof(frame));
    assert_memory_equal(at(f, gpa, HEADER), header, HEADER);
    assert_memory_equal(at(f, gpa + HEADER, sizeof(frame)), frame, sizeof(frame));
    assert_true(f->lines.level[0]);
}

static void checksums_are_vouched_for_only_if_known(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[60];
    make_frame(frame, sizeof(frame), 1);
    f->net.net.checked = false;
    uint64_t gpa = add_buffer(f, 0, 2048);
    assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
    assert_int_equal(*(const uint8_t *)at(f, gpa, 1), 0);
    f->net.net.checked = true;
    driver_start(&f->driver, ~F_GUEST_CSUM, 2, QUEUE_SIZE);
    gpa = add_buffer(f, 0, 2048);
    assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
    assert_int_equal(*(const uint8_t *)at(f, gpa, 1), 0);
}

static void a_frame_is_spread_over_buffers(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[250];
    uint64_t gpa[3];
    uint32_t written, expected[] = {100, 100, HEADER + 250 - 200};
    make_frame(frame, sizeof(frame), 1);
    for (int i = 0; i < 2; i++)
        gpa[i] = add_buffer(f, 0, 100);
    assert_false(test_net_deliver(&f->net, frame, sizeof(frame)));
    assert_false(used(f, 0, &written));
    unsigned resumed = f->net.resumed;
    gpa[2] = add_buffer(f, 0, 100);
    driver_kick(&f->driver, &f->driver.queues[0]);
    assert_int_equal(f->net.resumed, resumed + 1);
    assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
    for (int i = 0; i < 3; i++) {
        assert_true(used(f, 0, &written));
        assert_int_equal(written, expected[i]);
    }
    assert_int_equal(driver_get16(&f->driver, gpa[0] + 10), 3);
    assert_memory_equal(at(f, gpa[0] + HEADER, 88), frame, 88);
    assert_memory_equal(at(f, gpa[1], 100), frame + 88, 100);
    assert_memory_equal(at(f, gpa[2], 62), frame + 188, 62);
}

static void without_mergeable_buffers_a_frame_that_is_too_long_is_lost(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[250];
    uint32_t written;
    make_frame(frame, sizeof(frame), 1);
    driver_start(&f->driver, ~F_MRG_RXBUF, 2, QUEUE_SIZE);
    add_buffer(f, 0, 100);
    assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
    assert_false(used(f, 0, &written));
    assert_true(test_net_deliver(&f->net, frame, 88));
    assert_true(used(f, 0, &written));
    assert_int_equal(written, 100);
}

static void buffers_without_bytes_are_no_endless_loop(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[60];
    uint32_t written;
    make_frame(frame, sizeof(frame), 1);
    for (unsigned i = 0; i < QUEUE_SIZE; i++)
        add_buffer(f, 0, 0);
    assert_false(test_net_deliver(&f->net, frame, sizeof(frame)));
    assert_false(used(f, 0, &written));
    assert_false(driver_needs_reset(&f->driver));
}

static void without_a_driver_frames_are_lost(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[60];
    make_frame(frame, sizeof(frame), 1);
    f->driver.transport->set_status(&f->driver, 0);
    assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
}

/* ---- Transmission ---- */

static void send_frame(struct fixture *f, const uint8_t header[HEADER], const uint8_t *frame, uint32_t length)
{
    uint64_t gpa = driver_alloc(&f->driver, HEADER + length);
    driver_put(&f->driver, gpa, header, HEADER);
    driver_put(&f->driver, gpa + HEADER, frame, length);
    struct driver_segment s[] = {{gpa, 20, false}, {gpa + 20, HEADER + length - 20, false}};
    driver_add(&f->driver, &f->driver.queues[1], s, 2);
    driver_kick(&f->driver, &f->driver.queues[1]);
}

static const uint8_t plain[HEADER];

static void a_frame_is_sent(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[1514];
    uint32_t written;
    make_frame(frame, sizeof(frame), 1);
    send_frame(f, plain, frame, sizeof(frame));
    assert_true(used(f, 1, &written));
    assert_int_equal(written, 0);
    assert_int_equal(f->net.sent, 1);
    assert_int_equal(f->net.flushed, 1);
    assert_int_equal(f->net.length, sizeof(frame));
    assert_memory_equal(f->net.frame, frame, sizeof(frame));
}

static void a_full_network_makes_the_queue_wait(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[60];
    uint32_t written;
    make_frame(frame, sizeof(frame), 1);
    f->net.room = 0;
    send_frame(f, plain, frame, sizeof(frame));
    send_frame(f, plain, frame, sizeof(frame));
    assert_false(used(f, 1, &written));
    test_net_make_room(&f->net, 1);
    assert_int_equal(f->net.sent, 1);
    assert_int_equal(f->net.flushed, 1);
    assert_true(used(f, 1, &written));
    assert_false(used(f, 1, &written));
    test_net_make_room(&f->net, 100);
    assert_int_equal(f->net.sent, 2);
    assert_true(used(f, 1, &written));
}

/* The sum over what the checksum covers, checksum included, is 0xffff. */
static unsigned sum(const uint8_t *bytes, size_t length)
{
    uint64_t total = 0;
    for (size_t i = 0; i < length; i++)
        total += (uint64_t)bytes[i] << (i % 2 ? 0 : 8);
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (unsigned)total;
}

static void open_checksums_are_completed(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[301], header[HEADER] = {[0] = 1, [6] = 34, [8] = 16};
    for (uint32_t length = 100; length < 302; length += 201) {
        make_frame(frame, length, 1);
        frame[50] = frame[51] = 0;
        send_frame(f, header, frame, length);
        assert_int_equal(f->net.length, length);
        assert_int_equal(sum(f->net.frame + 34, length - 34), 0xffff);
        assert_memory_equal(f->net.frame, frame, 50);
        assert_memory_equal(f->net.frame + 52, frame + 52, length - 52);
    }
}

static void what_cannot_be_sent_is_dropped(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[100];
    uint32_t written;
    const uint8_t outside[HEADER] = {[0] = 1, [6] = 90, [8] = 9},
                  far[HEADER] = {[0] = 1, [6] = 0xff, [7] = 0xff}, segments[HEADER] = {[1] = 1};
    make_frame(frame, sizeof(frame), 1);
    send_frame(f, outside, frame, sizeof(frame));
    send_frame(f, far, frame, sizeof(frame));
    send_frame(f, segments, frame, sizeof(frame));
    send_frame(f, plain, frame, 13);
    for (int i = 0; i < 4; i++)
        assert_true(used(f, 1, &written));
    assert_int_equal(f->net.sent, 0);
    assert_false(driver_needs_reset(&f->driver));
}

static void a_frame_without_header_breaks_the_device(void **state)
{
    struct fixture *f = *state;
    driver_add(&f->driver, &f->driver.queues[1], &(struct driver_segment){DRIVER_RAM, HEADER - 1, false}, 1);
    driver_kick(&f->driver, &f->driver.queues[1]);
    assert_true(driver_needs_reset(&f->driver));
}

/* ---- Control ---- */

static uint8_t command(struct fixture *f, unsigned queue, uint8_t class, uint8_t code, const void *data,
                       uint32_t length)
{
    struct driver *d = &f->driver;
    uint64_t gpa = driver_alloc(d, 64);
    uint32_t written;
    uint8_t answer;
    driver_put(d, gpa, (uint8_t[]){class, code}, 2);
    driver_put(d, gpa + 2, data, length);
    struct driver_segment s[] = {{gpa, 2, false}, {gpa + 2, length, false}, {gpa + 32, 1, true}};
    driver_add(d, &d->queues[queue], s, 3);
    driver_kick(d, &d->queues[queue]);
    assert_true(used(f, queue, &written));
    assert_int_equal(written, 1);
    driver_get(d, gpa + 32, &answer, 1);
    return answer;
}

static void commands_are_obeyed(void **state)
{
    struct fixture *f = *state;
    const uint8_t other[] = {2, 4, 6, 8, 10, 12};
    assert_int_equal(command(f, CONTROL, 0, 0, "\1", 1), 0);
    assert_int_equal(command(f, CONTROL, 1, 0, "\0\0\0\0\0\0\0\0", 8), 0);
    assert_int_equal(command(f, CONTROL, 1, 1, other, 6), 0);
    assert_int_equal(mmio_config(&f->driver, 0, 4), 0x08060402);
    assert_int_equal(command(f, CONTROL, 1, 1, other, 5), 1);
    assert_int_equal(command(f, CONTROL, 2, 0, "\1\0", 2), 1);
    assert_int_equal(command(f, CONTROL, 4, 0, "\0\0", 2), 1);
    assert_int_equal(command(f, CONTROL, 4, 0, "\4\0", 2), 1);
    assert_int_equal(command(f, CONTROL, 4, 0, "\3\0", 2), 0);
    assert_int_equal(f->vn.pairs, 3);
    f->driver.transport->set_status(&f->driver, 0);
    assert_int_equal(mmio_config(&f->driver, 0, 4), 0x01005452);
    assert_int_equal(f->vn.pairs, 1);
}

static void the_control_queue_is_where_the_driver_expects_it(void **state)
{
    struct fixture *f = *state;
    driver_start(&f->driver, ~F_MQ, 3, QUEUE_SIZE);
    assert_int_equal(command(f, 2, 0, 0, "\1", 1), 0);
    assert_int_equal(command(f, 2, 4, 0, "\1\0", 2), 1);
}

static void flows_keep_to_their_pair(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[60];
    uint32_t written;
    unsigned count[PAIRS] = {0};
    assert_int_equal(command(f, CONTROL, 4, 0, "\3\0", 2), 0);
    for (unsigned pair = 0; pair < PAIRS; pair++)
        for (unsigned i = 0; i < QUEUE_SIZE; i++)
            add_buffer(f, 2 * pair, 100);
    for (uint16_t port = 0; port < 30; port++) {
        make_frame(frame, sizeof(frame), port);
        assert_true(test_net_deliver(&f->net, frame, sizeof(frame)));
    }
    for (unsigned pair = 0; pair < PAIRS; pair++)
        while (used(f, 2 * pair, &written))
            count[pair]++;
    assert_int_equal(count[0] + count[1] + count[2], 30);
    assert_true(count[0] && count[1] && count[2]);
    make_frame(frame, sizeof(frame), 5);
    unsigned first = f->vn.queues[0].next_used;
    for (int i = 0; i < 2; i++)
        test_net_deliver(&f->net, frame, sizeof(frame));
    first = f->vn.queues[0].next_used - first;
    assert_true(first == 0 || first == 2);
}

/* ---- State ---- */

static void state_is_saved_and_loaded(void **state)
{
    struct fixture *f = *state;
    static struct virtio_net other;
    struct virtio_mmio mmio;
    struct test_net net;
    assert_state_covers(struct virtio_net, &virtio_net_state);
    command(f, CONTROL, 4, 0, "\2\0", 2);
    command(f, CONTROL, 1, 1, "abcdef", 6);
    test_net_init(&net, 10);
    virtio_net_init(&other, &net.net, mac, PAIRS, &f->driver.mem, f->driver.runner);
    virtio_mmio_init(&mmio, &other.device, test_line(&f->lines, 1));
    assert_true(state_check_round_trip(&virtio_net_state, &f->vn, &other));
    assert_int_equal(other.pairs, 2);
    assert_memory_equal(other.space.mac, "abcdef", 6);
    assert_false(other.device.status & VIRTIO_NEEDS_RESET);
    test_tasks_run(&f->driver.tasks, 1);
    virtio_net_release(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_frame_is_received),
        TEST(checksums_are_vouched_for_only_if_known),
        TEST(a_frame_is_spread_over_buffers),
        TEST(without_mergeable_buffers_a_frame_that_is_too_long_is_lost),
        TEST(buffers_without_bytes_are_no_endless_loop),
        TEST(without_a_driver_frames_are_lost),
        TEST(a_frame_is_sent),
        TEST(a_full_network_makes_the_queue_wait),
        TEST(open_checksums_are_completed),
        TEST(what_cannot_be_sent_is_dropped),
        TEST(a_frame_without_header_breaks_the_device),
        TEST(commands_are_obeyed),
        TEST(the_control_queue_is_where_the_driver_expects_it),
        TEST(flows_keep_to_their_pair),
        TEST(state_is_saved_and_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
