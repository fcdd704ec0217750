/* The Advanced PLIC: source modes, delegation, delivery by lines and by messages. A model that knows one source at a time
 * agrees at random. */
#include "devices/aplic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fixture.h"
#include "state_check.h"

enum { HARTS = 4, S_LINES = 16 }; /* lines of the machine's harts, then of the supervisor's */
enum { INACTIVE, DETACHED, EDGE1 = 4, EDGE0, LEVEL1, LEVEL0, DELEGATED = 0x400 };
enum {
    SETIP = 0x1c00,
    SETIPNUM = 0x1cdc,
    IN_CLRIP = 0x1d00,
    CLRIPNUM = 0x1ddc,
    SETIE = 0x1e00,
    SETIENUM = 0x1edc,
    CLRIE = 0x1f00,
    CLRIENUM = 0x1fdc,
    SETIPNUM_LE = 0x2000,
    SETIPNUM_BE = 0x2004,
    GENMSI = 0x3000,
    TARGET = 0x3000,
    IDC = 0x4000,
};
#define BASE_M UINT64_C(0x24000000)
#define BASE_S UINT64_C(0x28000000)

struct fixture {
    struct aplic aplic;
    struct test_lines lines;
    unsigned messages; /* so far; the last: */
    uint64_t address;
    uint32_t data;
};

static void on_message(void *object, uint64_t address, uint32_t data)
{
    struct fixture *f = object;
    f->messages++;
    f->address = address;
    f->data = data;
}

static void init(struct aplic *a, struct fixture *f, bool messages)
{
    struct aplic_outputs to[APLIC_DOMAINS] = {{.msi = {on_message, f}, .base = BASE_M},
                                              {.msi = {on_message, f}, .base = BASE_S}};
    for (unsigned i = 0; i < HARTS; i++) {
        to[APLIC_MACHINE].lines[i] = test_line(&f->lines, i);
        to[APLIC_SUPERVISOR].lines[i] = test_line(&f->lines, S_LINES + i);
    }
    aplic_init(a, HARTS, messages, to);
}

static struct fixture fixture;

static int start_direct(void **state)
{
    *state = memset(&fixture, 0, sizeof(fixture));
    init(&fixture.aplic, &fixture, false);
    return 0;
}

static int start_messages(void **state)
{
    *state = memset(&fixture, 0, sizeof(fixture));
    init(&fixture.aplic, &fixture, true);
    return 0;
}

static int stop(void **state)
{
    aplic_release(&((struct fixture *)*state)->aplic);
    return 0;
}

static void write(struct fixture *f, enum aplic_level level, uint64_t address, uint32_t value)
{
    test_write(&f->aplic.domains[level].region, address, 4, value);
}

static uint32_t read(struct fixture *f, enum aplic_level level, uint64_t address)
{
    return (uint32_t)test_read(&f->aplic.domains[level].region, address, 4);
}

static void raise(struct fixture *f, unsigned source, bool level)
{
    struct irq_line line = aplic_line(&f->aplic, source);
    irq_set(&line, level);
}

static bool is_set(struct fixture *f, enum aplic_level level, unsigned array, unsigned source)
{
    return read(f, level, array + source / 32 * 4) >> source % 32 & 1;
}

static void set_up(struct fixture *f, enum aplic_level level, unsigned source, uint32_t mode, uint32_t target)
{
    write(f, level, 0, 0x100);
    write(f, level, 4 * source, mode);
    write(f, level, TARGET + 4 * source, target);
    write(f, level, SETIENUM, source);
}

static void open_hart(struct fixture *f, enum aplic_level level, unsigned hart)
{
    write(f, level, IDC + 32 * hart, 1);
}

static uint32_t claim(struct fixture *f, enum aplic_level level, unsigned hart)
{
    return read(f, level, IDC + 32 * hart + 0x1c);
}

/* ---- Direct delivery ---- */

static void a_level_is_asked_for_while_it_lasts(void **state)
{
    struct fixture *f = *state;
    set_up(f, APLIC_MACHINE, 10, LEVEL1, 2 << 18 | 7);
    open_hart(f, APLIC_MACHINE, 2);
    raise(f, 10, true);
    assert_true(f->lines.level[2]);
    assert_int_equal(claim(f, APLIC_MACHINE, 1), 0);
    assert_int_equal(claim(f, APLIC_MACHINE, 2), 10 << 16 | 7);
    assert_true(f->lines.level[2]); /* a claim does not end it */
    write(f, APLIC_MACHINE, CLRIPNUM, 10);
    assert_true(is_set(f, APLIC_MACHINE, SETIP, 10));
    raise(f, 10, false);
    assert_false(f->lines.level[2]);
    write(f, APLIC_MACHINE, SETIPNUM, 10);
    assert_false(is_set(f, APLIC_MACHINE, SETIP, 10));
}

static void an_edge_is_asked_for_once(void **state)
{
    struct fixture *f = *state;
    set_up(f, APLIC_MACHINE, 95, EDGE1, 1);
    set_up(f, APLIC_MACHINE, 94, EDGE0, 2);
    open_hart(f, APLIC_MACHINE, 0);
    raise(f, 95, true);
    raise(f, 94, true);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 95 << 16 | 1);
    assert_false(f->lines.level[0]);
    raise(f, 95, false);
    raise(f, 94, false);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 94 << 16 | 2);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 0);
    write(f, APLIC_MACHINE, SETIP + 8, 1u << 31);
    assert_int_equal(read(f, APLIC_MACHINE, IDC + 0x18), 95 << 16 | 1);
    write(f, APLIC_MACHINE, IN_CLRIP + 8, 1u << 31);
    assert_int_equal(read(f, APLIC_MACHINE, IDC + 0x18), 0);
}

static void the_lowest_priority_number_is_first(void **state)
{
    struct fixture *f = *state;
    open_hart(f, APLIC_MACHINE, 0);
    set_up(f, APLIC_MACHINE, 40, DETACHED, 5);
    set_up(f, APLIC_MACHINE, 20, DETACHED, 6);
    set_up(f, APLIC_MACHINE, 30, DETACHED, 5);
    set_up(f, APLIC_MACHINE, 31, DETACHED, 0); /* is 1 */
    for (unsigned i = 20; i <= 40; i++)
        write(f, APLIC_MACHINE, SETIPNUM, i);
    write(f, APLIC_MACHINE, IDC + 8, 1);
    assert_false(f->lines.level[0]);
    write(f, APLIC_MACHINE, IDC + 8, 6);
    assert_true(f->lines.level[0]);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 31 << 16 | 1);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 30 << 16 | 5);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 40 << 16 | 5);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 0); /* 20 is behind the threshold */
    write(f, APLIC_MACHINE, IDC + 8, 0);
    assert_int_equal(claim(f, APLIC_MACHINE, 0), 20 << 16 | 6);
}

static void a_forced_interrupt_is_none(void **state)
{
    struct fixture *f = *state;
    write(f, APLIC_SUPERVISOR, IDC + 32 + 4, 1);
    assert_false(f->lines.level[S_LINES + 1]);
    open_hart(f, APLIC_SUPERVISOR, 1);
    write(f, APLIC_SUPERVISOR, 0, 0x100);
    assert_true(f->lines.level[S_LINES + 1]);
    assert_int_equal(claim(f, APLIC_SUPERVISOR, 1), 0);
    assert_false(f->lines.level[S_LINES + 1]);
    assert_int_equal(read(f, APLIC_SUPERVISOR, IDC + 32 + 4), 0);
}

/* ---- Domains ---- */

static void sources_are_where_the_root_puts_them(void **state)
{
    struct fixture *f = *state;
    set_up(f, APLIC_SUPERVISOR, 10, LEVEL1, 3); /* not there yet */
    assert_int_equal(read(f, APLIC_SUPERVISOR, 4 * 10), 0);
    write(f, APLIC_MACHINE, 4 * 10, DELEGATED);
    assert_int_equal(read(f, APLIC_MACHINE, 4 * 10), DELEGATED);
    assert_int_equal(read(f, APLIC_SUPERVISOR, 4 * 10), 0);
    set_up(f, APLIC_SUPERVISOR, 10, DELEGATED, 0); /* there is no child */
    assert_int_equal(read(f, APLIC_SUPERVISOR, 4 * 10), 0);
    set_up(f, APLIC_SUPERVISOR, 10, LEVEL1, 3);
    open_hart(f, APLIC_SUPERVISOR, 0);
    raise(f, 10, true);
    assert_true(f->lines.level[S_LINES]);
    assert_false(is_set(f, APLIC_MACHINE, SETIP, 10));
    assert_int_equal(read(f, APLIC_MACHINE, IN_CLRIP), 0);
    assert_int_equal(read(f, APLIC_SUPERVISOR, IN_CLRIP), 1 << 10);
    write(f, APLIC_MACHINE, 4 * 10, LEVEL1);
    assert_false(f->lines.level[S_LINES]);
    assert_true(is_set(f, APLIC_MACHINE, SETIP, 10)); /* a copy of the wire */
    write(f, APLIC_MACHINE, 4 * 10, DELEGATED);
    assert_int_equal(read(f, APLIC_SUPERVISOR, 4 * 10), 0);
    assert_int_equal(read(f, APLIC_SUPERVISOR, TARGET + 4 * 10), 0);
    assert_false(is_set(f, APLIC_SUPERVISOR, SETIE, 10));
}

static void firmware_delegates_all(void **state)
{
    struct fixture *f = *state;
    aplic_delegate(&f->aplic);
    for (unsigned i = 1; i < 1024; i++)
        assert_int_equal(read(f, APLIC_MACHINE, 4 * i), i < APLIC_SOURCES ? DELEGATED : 0);
    set_up(f, APLIC_SUPERVISOR, 95, EDGE1, 1);
    assert_int_equal(read(f, APLIC_SUPERVISOR, 4 * 95), EDGE1);
}

/* ---- Messages ---- */

static void a_level_is_sent_once_until_it_falls(void **state)
{
    struct fixture *f = *state;
    aplic_delegate(&f->aplic);
    set_up(f, APLIC_SUPERVISOR, 33, LEVEL1, 3u << 18 | 200);
    raise(f, 33, true);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->address, BASE_S + 3 * 4096);
    assert_int_equal(f->data, 200);
    assert_false(is_set(f, APLIC_SUPERVISOR, SETIP, 33));
    write(f, APLIC_SUPERVISOR, SETIPNUM_LE, 33); /* is it still there? */
    assert_int_equal(f->messages, 2);
    raise(f, 33, false);
    write(f, APLIC_SUPERVISOR, SETIPNUM_LE, 33);
    assert_int_equal(f->messages, 2);
    write(f, APLIC_SUPERVISOR, CLRIENUM, 33);
    raise(f, 33, true);
    assert_true(is_set(f, APLIC_SUPERVISOR, SETIP, 33));
    raise(f, 33, false);
    assert_false(is_set(f, APLIC_SUPERVISOR, SETIP, 33));
    write(f, APLIC_SUPERVISOR, SETIENUM, 33);
    assert_int_equal(f->messages, 2);
}

static void messages_wait_until_they_are_enabled(void **state)
{
    struct fixture *f = *state;
    set_up(f, APLIC_MACHINE, 1, EDGE1, 7);
    write(f, APLIC_MACHINE, 0, 0);
    raise(f, 1, true);
    raise(f, 1, false);
    assert_int_equal(f->messages, 0);
    assert_true(is_set(f, APLIC_MACHINE, SETIP, 1));
    write(f, APLIC_MACHINE, 0, 0x100);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->address, BASE_M);
    assert_int_equal(f->data, 7);
}

static void a_message_of_ones_own_needs_no_source(void **state)
{
    struct fixture *f = *state;
    write(f, APLIC_MACHINE, GENMSI, 2 << 18 | 0x1000 | 9);
    assert_int_equal(f->messages, 1);
    assert_int_equal(f->address, BASE_M + 2 * 4096);
    assert_int_equal(f->data, 9);
    assert_int_equal(read(f, APLIC_MACHINE, GENMSI), 2 << 18 | 9); /* not busy */
}

/* ---- Registers ---- */

static void registers_keep_what_they_have_bits_for(void **state)
{
    struct fixture *f = *state;
    const bool messages = f->aplic.sends;
    static const struct {
        unsigned address;
        uint32_t direct, messages;
    } rows[] = {
        {0, 0x80000100, 0x80000104},
        {4, DELEGATED, DELEGATED},
        {4 * 96, 0, 0},
        {0xffc, 0, 0},
        {0x1bc0, 0, 0},
        {0x1bc4, 0, 0x80000000},
        {0x1bc8, 0, 0},
        {0x1bcc, 0, 0},
        {SETIPNUM, 0, 0},
        {CLRIPNUM, 0, 0},
        {SETIENUM, 0, 0},
        {CLRIENUM, 0, 0},
        {SETIPNUM_LE, 0, 0},
        {SETIPNUM_BE, 0, 0},
        {CLRIE, 0, 0},
        {SETIE + 12, 0, 0},
        {GENMSI, 0, 0x7ff},
        {TARGET + 4, 0, 0},
        {0x3ffc, 0, 0},
        {0x1c80, 0, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write(f, APLIC_MACHINE, rows[i].address, UINT32_MAX);
        assert_int_equal(read(f, APLIC_MACHINE, rows[i].address),
                         messages ? rows[i].messages : rows[i].direct);
    }
    static const uint32_t modes[8] = {INACTIVE, DETACHED, INACTIVE, INACTIVE, EDGE1, EDGE0, LEVEL1, LEVEL0};
    for (unsigned mode = 0; mode < 8; mode++) {
        write(f, APLIC_MACHINE, 4 * 5, 0xfffffbf8 | mode);
        assert_int_equal(read(f, APLIC_MACHINE, 4 * 5), modes[mode]);
        write(f, APLIC_MACHINE, TARGET + 4 * 5, 3 << 18 | 0x3ffff);
        assert_int_equal(read(f, APLIC_MACHINE, TARGET + 4 * 5),
                         modes[mode] ? 3 << 18 | (messages ? 0x7ff : 0xff) : 0);
        write(f, APLIC_MACHINE, SETIE, UINT32_MAX);
        assert_int_equal(read(f, APLIC_MACHINE, SETIE), modes[mode] ? 1 << 5 : 0);
    }
    struct bus_access narrow = {.address = 0, .size = 2};
    assert_int_equal(bus_region_access(&f->aplic.domains[0].region, &narrow), BUS_FAULT);
    assert_int_equal(f->aplic.domains[0].region.length, messages ? 0x4000 : 0x5000);
}

/* ---- The model: a source in the supervisor's domain ---- */

struct model {
    uint32_t mode[APLIC_SOURCES], target[APLIC_SOURCES];
    bool level[APLIC_SOURCES], pending[APLIC_SOURCES], enabled[APLIC_SOURCES];
    bool messages;
    unsigned sent;
};

static bool model_input(const struct model *m, unsigned source)
{
    return m->mode[source] >= EDGE1 && m->level[source] != (m->mode[source] & 1);
}

static void model_send(struct model *m, unsigned source)
{
    bool sends = m->messages && m->pending[source] && m->enabled[source];
    m->sent += sends;
    m->pending[source] &= !sends;
}

static void model_mode(struct model *m, unsigned source, uint32_t mode)
{
    m->target[source] = !mode ? 0 : m->mode[source] ? m->target[source] : !m->messages;
    m->mode[source] = mode;
    m->enabled[source] &= mode != 0;
    m->pending[source] = mode >= LEVEL1 ? model_input(m, source) : m->pending[source] && mode;
}

static void model_line(struct model *m, unsigned source, bool level)
{
    bool changes = level != m->level[source];
    m->level[source] = level;
    if (m->mode[source] >= LEVEL1 && changes)
        m->pending[source] = model_input(m, source);
    else if (changes && model_input(m, source))
        m->pending[source] = true;
}

static void model_step(struct model *m, struct fixture *f, unsigned seed)
{
    static const uint32_t modes[] = {INACTIVE, DETACHED, EDGE1, EDGE0, LEVEL1, LEVEL0};
    srand(seed);
    unsigned what = (unsigned)rand() % 8, source = 1 + (unsigned)rand() % (APLIC_SOURCES - 1),
             value = (unsigned)rand();
    bool copy = m->mode[source] >= LEVEL1 && !m->messages;
    switch (what) {
    case 0:
        write(f, APLIC_SUPERVISOR, 4 * source, modes[value % 6]);
        model_mode(m, source, modes[value % 6]);
        break;
    case 1:
        write(f, APLIC_SUPERVISOR, TARGET + 4 * source, value % HARTS << 18 | (1 + value % 7));
        if (m->mode[source])
            m->target[source] = value % HARTS << 18 | (1 + value % 7);
        break;
    case 2:
        write(f, APLIC_SUPERVISOR, SETIPNUM, source);
        if (m->mode[source] && (m->mode[source] < LEVEL1 || model_input(m, source)))
            m->pending[source] = true;
        break;
    case 3:
        write(f, APLIC_SUPERVISOR, CLRIPNUM, source);
        m->pending[source] &= copy;
        break;
    case 4:
        write(f, APLIC_SUPERVISOR, value & 1 ? SETIENUM : CLRIENUM, source);
        m->enabled[source] = value & 1 && m->mode[source];
        break;
    default:
        raise(f, source, value & 1);
        model_line(m, source, value & 1);
        break;
    }
    model_send(m, source);
}

static uint32_t model_top(const struct model *m, unsigned hart)
{
    uint32_t best = 0;
    for (unsigned s = APLIC_SOURCES - 1; s; s--)
        if (m->pending[s] && m->enabled[s] && m->target[s] >> 18 == hart &&
            (!best || (m->target[s] & 0xff) <= (best & 0xff)))
            best = s << 16 | (m->target[s] & 0xff);
    return best;
}

static void a_model_agrees(void **state)
{
    struct fixture *f = *state;
    static struct model m;
    m = (struct model){.messages = f->aplic.sends};
    aplic_delegate(&f->aplic);
    write(f, APLIC_SUPERVISOR, 0, 0x100);
    for (unsigned hart = 0; hart < HARTS && !m.messages; hart++)
        open_hart(f, APLIC_SUPERVISOR, hart);
    for (unsigned step = 0; step < 50000; step++) {
        model_step(&m, f, step);
        assert_int_equal(f->messages, m.sent);
        unsigned source = 1 + step % (APLIC_SOURCES - 1);
        assert_int_equal(is_set(f, APLIC_SUPERVISOR, SETIP, source), m.pending[source]);
        assert_int_equal(is_set(f, APLIC_SUPERVISOR, IN_CLRIP, source), model_input(&m, source));
        for (unsigned hart = 0; hart < HARTS && !m.messages; hart++) {
            assert_int_equal(read(f, APLIC_SUPERVISOR, IDC + 32 * hart + 0x18), model_top(&m, hart));
            assert_int_equal(f->lines.level[S_LINES + hart], model_top(&m, hart) != 0);
        }
    }
}

/* ---- State ---- */

static void the_state_is_described(void **state)
{
    (void)state;
    assert_state_covers(struct aplic, &aplic_state);
    assert_state_covers(struct aplic_domain, &aplic_domain_state);
    assert_state_covers(struct aplic_idc, &aplic_idc_state);
}

static void states_round_trip(void **state)
{
    struct fixture *f = *state;
    static struct model m;
    static struct fixture other;
    m = (struct model){.messages = f->aplic.sends};
    memset(&other, 0, sizeof(other));
    init(&other.aplic, &other, m.messages);
    aplic_delegate(&f->aplic);
    write(f, APLIC_SUPERVISOR, 0, 0x100);
    for (unsigned step = 0; step < 2000; step++) {
        model_step(&m, f, step);
        if (!m.messages && step < HARTS)
            open_hart(f, APLIC_SUPERVISOR, step);
        if (step % 20 == 0) {
            assert_true(state_check_round_trip(&aplic_state, &f->aplic, &other.aplic));
            assert_memory_equal(other.lines.level, f->lines.level, TEST_LINES);
        }
    }
    assert_int_equal(other.messages, 0); /* loading sends none */
    aplic_release(&other.aplic);
}

static void use(void *object)
{
    struct aplic *a = object;
    for (unsigned i = 0; i < HARTS && !a->sends; i++)
        assert_in_range(test_read(&a->domains[APLIC_SUPERVISOR].region, IDC + i * 32 + 0x1c, 4) >> 16, 0,
                        APLIC_SOURCES - 1);
    struct irq_line line = aplic_line(a, 7);
    irq_set(&line, true);
    irq_set(&line, false);
}

static void hostile_states_are_refused(void **state)
{
    struct fixture *f = *state;
    static struct aplic bad;
    bad = f->aplic;
    bad.domains[APLIC_SUPERVISOR].mode[3] = EDGE1; /* not delegated */
    assert_false(state_check_round_trip(&aplic_state, &bad, &f->aplic));
    bad = f->aplic;
    bad.domains[APLIC_MACHINE].pending[1] = 1; /* of a source that is not active */
    assert_false(state_check_round_trip(&aplic_state, &bad, &f->aplic));
    set_up(f, APLIC_MACHINE, 7, LEVEL1, 1);
    state_check_hostile(&aplic_state, &f->aplic, use);
}

int main(void)
{
#define DIRECT(name)   cmocka_unit_test_setup_teardown(name, start_direct, stop)
#define MESSAGES(name) cmocka_unit_test_setup_teardown(name, start_messages, stop)
    const struct CMUnitTest tests[] = {
        DIRECT(a_level_is_asked_for_while_it_lasts),
        DIRECT(an_edge_is_asked_for_once),
        DIRECT(the_lowest_priority_number_is_first),
        DIRECT(a_forced_interrupt_is_none),
        DIRECT(sources_are_where_the_root_puts_them),
        DIRECT(firmware_delegates_all),
        MESSAGES(a_level_is_sent_once_until_it_falls),
        MESSAGES(messages_wait_until_they_are_enabled),
        MESSAGES(a_message_of_ones_own_needs_no_source),
        DIRECT(registers_keep_what_they_have_bits_for),
        MESSAGES(registers_keep_what_they_have_bits_for),
        DIRECT(a_model_agrees),
        MESSAGES(a_model_agrees),
        DIRECT(the_state_is_described),
        DIRECT(states_round_trip),
        MESSAGES(states_round_trip),
        DIRECT(hostile_states_are_refused),
        MESSAGES(hostile_states_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
