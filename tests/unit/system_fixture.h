/* A computer for tests: harts in S-mode under firmware that is the test, 16 MiB of memory, page tables of Sv39, and a
 * device of eight bytes. Threads: as system.h; the device is for one hart. Lifetime: machine_init() ...
 * machine_release(). */
#ifndef TESTS_UNIT_SYSTEM_FIXTURE_H
#define TESTS_UNIT_SYSTEM_FIXTURE_H

#include "cpu/riscv/system.h"
#include "host/sanitize.h"
#include "insns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RAM      UINT64_C(0x80000000)
#define RAM_SIZE (UINT64_C(16) << 20)
#define DEVICE   UINT64_C(0x10000000)
#define PAGE     UINT64_C(4096)

/* Where things are in the memory. */
#define HANDLER (RAM + 0x1000) /* stvec: an ECALL, so that each trap comes back to the test */
#define PROGRAM (RAM + 0x2000)
#define TABLES  (RAM + 0x100000)
#define DATA    (RAM + 0x200000)

enum { X_RA = 1, T0 = 5, T1 = 6, T2 = 7, S0 = 8, S1 = 9, A0 = 10, A1 = 11, A2 = 12, A3 = 13, A7 = 17 };
enum { LEAF = PTE_V | PTE_A | PTE_D | PTE_R | PTE_W | PTE_X };

struct machine {
    struct gmem memory;
    struct bus bus;
    struct bus_region device;
    struct engine_options engine;
    struct system *system;
    struct system_hart *hart; /* the first */
    uint64_t device_value, device_accesses;
    _Atomic uint64_t time;
    _Atomic uint64_t deadline; /* of hart 0's timer */
    uint64_t free_table;
};

static inline uint64_t fixture_time(void *owner)
{
    return atomic_load(&((struct machine *)owner)->time);
}

static inline void fixture_timer(void *owner, unsigned hart, uint64_t deadline)
{
    if (hart == 0)
        atomic_store(&((struct machine *)owner)->deadline, deadline);
}

static inline enum bus_result fixture_access(void *device, struct bus_access *a)
{
    struct machine *m = device;
    m->device_accesses++;
    if (a->is_write)
        m->device_value = a->value;
    else
        a->value = m->device_value;
    return BUS_OK;
}

/* Guest memory, which the sanitizers do not look into: its races are the guest's. */
HOST_GUEST_ACCESS static inline uint64_t peek(const struct machine *m, uint64_t gpa)
{
    return *(volatile uint64_t *)(m->memory.blocks[0].host + (gpa - RAM));
}

HOST_GUEST_ACCESS static inline void poke(const struct machine *m, uint64_t gpa, uint64_t value)
{
    *(volatile uint64_t *)(m->memory.blocks[0].host + (gpa - RAM)) = value;
}

HOST_GUEST_ACCESS static inline void poke32(const struct machine *m, uint64_t gpa, uint32_t value)
{
    *(volatile uint32_t *)(m->memory.blocks[0].host + (gpa - RAM)) = value;
}

HOST_GUEST_ACCESS static inline void poke16(const struct machine *m, uint64_t gpa, uint16_t value)
{
    *(volatile uint16_t *)(m->memory.blocks[0].host + (gpa - RAM)) = value;
}

/* Puts instructions; returns the address behind them. */
static inline uint64_t put_insns(const struct machine *m, uint64_t gpa, const struct rv_insn *insns,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++, gpa += 4)
        poke32(m, gpa, rv_encode(&insns[i]));
    return gpa;
}
#define PUT(m, gpa, ...)                                     \
    put_insns(m, gpa, (const struct rv_insn[]){__VA_ARGS__}, \
              sizeof((const struct rv_insn[]){__VA_ARGS__}) / sizeof(struct rv_insn))

static inline int machine_init(struct machine *m, unsigned harts)
{
    static const struct bus_ops bus_ops = {fixture_access, 1 | 2 | 4 | 8};
    static const struct system_ops ops = {.time = fixture_time, .timer = fixture_timer};
    memset(m, 0, sizeof(*m));
    const char *engine = getenv("TEST_ENGINE");
    m->engine = (struct engine_options)ENGINE_DEFAULTS;
    m->engine.kind = ENGINE_INTERP;
    m->engine.threshold = 1;
    if (engine && strcmp(engine, "direct") ==
                      0) { /* the translator: all its code is direct, all loops are loops at once */
        m->engine.kind = ENGINE_JIT;
        m->engine.hot = 1;
        m->engine.threads = ENGINE_THREADS_NONE;
    } else {
        assert_true(!engine || engine_parse_kind(&m->engine, engine));
    }
    m->device = (struct bus_region){"device", 8, &bus_ops, m, NULL};
    gmem_init(&m->memory);
    assert_int_equal(gmem_add(&m->memory, GMEM_RAM, RAM, RAM_SIZE, NULL), 0);
    assert_int_equal(bus_init(&m->bus, NULL), 0);
    assert_int_equal(bus_map(&m->bus, &m->device, DEVICE, NULL), 0);
    const struct system_config config = {
        .memory = &m->memory,
        .bus = &m->bus,
        .engine = &m->engine,
        .harts = harts,
        .extensions = UINT64_MAX,
        .hart = {.misa = MISA_LETTER('F'),
                 .features = UINT32_MAX & ~(uint32_t)SYS_SVADU,
                 .satp_mode = SATP_SV57},
        .firmware = true,
        .ops = &ops,
        .owner = m,
    };
    assert_int_equal(system_new(&m->system, &config, NULL), 0);
    m->hart = system_hart(m->system, 0);
    m->free_table = TABLES + PAGE;
    PUT(m, HANDLER, ECALL);
    return 0;
}

static inline void machine_release(struct machine *m)
{
    system_free(m->system);
    bus_release(&m->bus);
    gmem_release(&m->memory);
}

/* Maps a page of 4 KiB << 9 * level: `flags` are PTE_... */
static inline uint64_t map_at(struct machine *m, uint64_t gva, uint64_t gpa, uint64_t flags, unsigned level)
{
    uint64_t table = TABLES;
    for (unsigned l = 2; l > level; l--) {
        uint64_t pte_at = table + (gva >> (12 + 9 * l) & 511) * 8;
        if (!(peek(m, pte_at) & PTE_V)) {
            poke(m, pte_at, m->free_table >> 12 << PTE_PPN_SHIFT | PTE_V);
            m->free_table += PAGE;
        }
        table = peek(m, pte_at) >> PTE_PPN_SHIFT << 12;
    }
    uint64_t pte_at = table + (gva >> (12 + 9 * level) & 511) * 8;
    poke(m, pte_at, gpa >> 12 << PTE_PPN_SHIFT | flags);
    return pte_at;
}

static inline uint64_t map(struct machine *m, uint64_t gva, uint64_t gpa, uint64_t flags)
{
    return map_at(m, gva, gpa, flags, 0);
}

static inline uint64_t satp_of(uint64_t asid)
{
    return (uint64_t)SATP_SV39 << SATP_MODE_SHIFT | asid << SATP_ASID_SHIFT | TABLES >> 12;
}

/* A hart at `pc` whose traps come to HANDLER. With `paging`: Sv39, everything mapped where it is. */
static inline void start(struct machine *m, struct system_hart *h, uint64_t pc, bool paging)
{
    system_hart_reset(h, PRIV_S, pc, 0, 0);
    h->sys.stvec = HANDLER;
    if (!paging)
        return;
    map_at(m, RAM, RAM, LEAF | PTE_G, 2);
    map_at(m, 0, 0, LEAF | PTE_G, 2);
    h->sys.satp = satp_of(0);
    system_hart_trap(h, CAUSE_BREAKPOINT, 0); /* the hart finds out */
    h->hart.pc = pc;
}

/* Runs until an ECALL of S-mode. */
static inline void run(struct system_hart *h)
{
    system_enter_thread(h);
    system_hart_run(h);
    system_leave_thread(h);
    assert_int_equal(h->hart.exit.kind, EXIT_ECALL);
}

static inline void run_from(struct system_hart *h, uint64_t pc)
{
    h->hart.pc = pc;
    run(h);
}

/* The hart has come to HANDLER by this exception. */
static inline void assert_trapped(const struct system_hart *h, uint64_t cause, uint64_t pc, uint64_t value)
{
    assert_int_equal(h->hart.pc, HANDLER);
    assert_int_equal(h->sys.scause, cause);
    assert_int_equal(h->sys.sepc, pc);
    assert_int_equal(h->sys.stval, value);
}

#endif
