/* What a device under test stands on: lines that remember, a console that a test plays, accesses that must succeed.
 * Include after cmocka.h. */
#ifndef TESTS_FIXTURE_H
#define TESTS_FIXTURE_H

#include "bus/bus.h"
#include "bus/irq.h"
#include "console/console.h"

#include <string.h>

/* ---- Lines ---- */

enum { TEST_LINES = 256 };

struct test_lines {
    bool level[TEST_LINES];
    unsigned raised[TEST_LINES]; /* how often a line went from low to high */
};

static inline void test_line_set(void *controller, unsigned number, bool level)
{
    struct test_lines *lines = controller;
    lines->raised[number] += level && !lines->level[number];
    lines->level[number] = level;
}

static inline struct irq_line test_line(struct test_lines *lines, unsigned number)
{
    return (struct irq_line){.set = test_line_set, .controller = lines, .number = number};
}

/* ---- Accesses ---- */

static inline uint64_t test_read(const struct bus_region *region, uint64_t offset, unsigned size)
{
    struct bus_access access = {.address = offset, .size = (uint8_t)size};
    assert_int_equal(bus_region_access(region, &access), BUS_OK);
    return access.value;
}

static inline void test_write(const struct bus_region *region, uint64_t offset, unsigned size, uint64_t value)
{
    struct bus_access access = {.address = offset, .value = value, .size = (uint8_t)size, .is_write = true};
    assert_int_equal(bus_region_access(region, &access), BUS_OK);
}

/* ---- Console ---- */

struct test_console {
    struct console console;
    char output[4096];
    size_t length, room; /* of the output; how much more it takes */
    unsigned resumed;
};

static inline size_t test_console_write(struct console *console, const uint8_t *data, size_t length)
{
    struct test_console *c = (struct test_console *)console;
    size_t taken = length < c->room ? length : c->room;
    for (size_t i = 0; i < taken; i++)
        c->output[c->length++ % sizeof(c->output)] = (char)data[i];
    c->room -= taken;
    return taken;
}

static inline void test_console_resume(struct console *console)
{
    ((struct test_console *)console)->resumed++;
}

static inline void test_console_init(struct test_console *c, size_t room)
{
    static const struct console_ops ops = {.write = test_console_write, .resume = test_console_resume};
    *c = (struct test_console){.console = {.ops = &ops}, .room = room};
}

static inline size_t test_console_type(struct test_console *c, const char *text)
{
    pthread_mutex_lock(c->console.client_lock);
    size_t taken = c->console.client_ops->receive(c->console.client, (const uint8_t *)text, strlen(text));
    pthread_mutex_unlock(c->console.client_lock);
    return taken;
}

static inline void test_console_make_room(struct test_console *c, size_t room)
{
    c->room += room;
    pthread_mutex_lock(c->console.client_lock);
    c->console.client_ops->writable(c->console.client);
    pthread_mutex_unlock(c->console.client_lock);
}

#endif
