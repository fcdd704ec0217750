/* The harts of a computer: what runs them (engine.h), their privileged state (sys.h), and what makes them one
 * machine: shared memory, fences, interrupts.
 *
 *   owner (a board, firmware)          │ system_hart_run(): a hart's own host thread
 *     devices ──> system_hart_set_line │   instructions, traps, interrupts, page tables, devices by bus_access()
 *     other harts ──> system_fence     │   comes back for the owner alone: struct hart.exit
 *
 * Threads: what concerns the calling hart alone is for the thread that has entered with it; the rest says so. The
 * owner's ops may be called on any hart's thread, and take no lock that is held around a call of these functions.
 * Lifetime: system_new() ... system_free(); after it, no hart runs, and nobody calls.
 * Source: The RISC-V Instruction Set Manual, volumes I and II; RISC-V Supervisor Binary Interface Specification 2.0,
 * "RFENCE". */
#ifndef CPU_RISCV_SYSTEM_H
#define CPU_RISCV_SYSTEM_H

#include "bus/bus.h"
#include "bus/gmem.h"
#include "cpu/riscv/engine.h"
#include "cpu/riscv/hart.h"
#include "cpu/riscv/sys.h"
#include "cpu/riscv/tlb.h"
#include "cpu/riscv/window.h"

struct system;
struct system_single;
struct system_mailbox;
struct system_lockstep;

/* Frequency of mtime and of CSR `time`. */
#define SYSTEM_TIME_HZ UINT64_C(10000000)

enum { SYSTEM_MAX_HARTS = 64 };

/* Any may be called on a hart's thread. */
struct system_ops {
    uint64_t (*time)(void *owner);                /* ticks of SYSTEM_TIME_HZ; never goes back */
    bool (*entropy)(void *owner, uint16_t *bits); /* false: none now. NULL: never */
    /* Optional: `time` at which the hart wants system_hart_poll(); UINT64_MAX: not at all. Replaces the last. */
    void (*timer)(void *owner, unsigned hart, uint64_t deadline);
};

struct system_config {
    struct gmem *memory;                 /* borrows; complete */
    struct bus *bus;                     /* borrows */
    const struct engine_options *engine; /* borrows */
    unsigned harts;
    uint64_t extensions;    /* bit set of enum rv_ext: what programs have; the privileged ones are added */
    struct sys_config hart; /* of each; hartid is the index */
    bool
        firmware; /* the owner is the firmware: harts have no M-mode. All that can be is delegated, an ECALL from S-mode
                               * leaves the engine, and interrupts go to S-mode. */
    const struct system_ops *ops; /* borrows */
    void *owner;
};

/* What was asked for by other threads: bits of system_hart.wants. */
enum system_want {
    SYSTEM_WANT_LEAVE = 1 << 0, /* system_hart_kick() */
    SYSTEM_WANT_POLL = 1 << 1,  /* interrupts, clocks */
    SYSTEM_WANT_FENCE = 1 << 2,
    SYSTEM_WANT_SWEEP = 1 << 3, /* write tags of pages with code */
};

/* Of the trap that an access has ended in. */
struct system_trap {
    uint64_t cause, value;
};

/* A jump in translated address space: the interpreter's, or one that translated code has asked for. */
struct system_jump {
    uint64_t pc, context; /* gva; tlb_code_context.id */
    const union cell *cell;
    uint64_t bias; /* gva - gpa */
};

/* Of direct code (system_direct.c). */
struct system_direct {
    uint64_t gs;              /* base of the host's gs segment, as far as the hart has set it */
    int64_t allowance, since; /* microseconds for faults; when it last grew */
    uint64_t filled, refused; /* faults that brought a page into a window; accesses that were not to be had this way */
};

struct system_hart {
    struct hart hart; /* first; `tlb`, `bias` and `context` belong to this */
    struct hart_sys sys;
    struct tlb tlb;
    struct windows windows;
    struct system_direct direct;
    struct system *system; /* borrows */
    unsigned index;
    unsigned ahead;          /* instructions that have retired since hart.instret was right, during a call */
    struct system_trap trap; /* after an access that failed */
    struct system_jump *jumps;      /* owned: where jumps went */
    uint64_t jumps_epoch;           /* code epoch that `jumps` is of */
    struct system_single *single;   /* owned: instructions that are in no unit (system_fetch.c) */
    struct system_mailbox *mailbox; /* owned */
    struct system_jit *jit; /* owned: jump caches of translated code; NULL with the interpreter alone */
    struct system_lockstep *lockstep; /* owned; of that engine, or NULL */
    _Atomic uint32_t wants;           /* enum system_want */
    _Atomic uint64_t swept;           /* number of the last sweep that it took part in (system_code.c) */
};

/* ---- The machine: before the harts run, after they have ended ---- */

/* With an engine that translates, SIGSEGV, SIGBUS and SIGTRAP of the host belong to it from here on, and are blocked in no thread
 * that runs a hart. */

int system_new(struct system **out, const struct system_config *config, struct guise_error *err);
void system_free(struct system *system);
struct system_hart *system_hart(struct system *system, unsigned index);

/* ---- On the hart's own host thread ---- */

void system_enter_thread(struct system_hart *h);
void system_leave_thread(struct system_hart *h);

/* The hart as after reset, but in this mode and with these registers. With firmware: S-mode. */
void system_hart_reset(struct system_hart *h, enum priv mode, uint64_t pc, uint64_t a0, uint64_t a1);

/* Runs until something needs the owner; hart.exit.kind says what, hart.pc is exact.
 *   EXIT_PENDING  system_hart_kick() was called
 *   EXIT_ECALL    firmware: pc is the ecall itself; the owner goes on at pc + 4
 *   EXIT_WFI      nothing to do until an interrupt: system_hart_sleep(); pc is behind the WFI
 *   EXIT_WRONG    the engine is at fault, and has said how */
void system_hart_run(struct system_hart *h);

/* Sleeps until the hart was kicked (which this consumes: true) or, unless `stopped`, an interrupt is pending and
 * enabled in mie (false). No wake-up is lost: what came before the call counts. */
bool system_hart_sleep(struct system_hart *h, bool stopped);

/* Takes a trap at hart.pc, as for an instruction there: for the firmware that passes one on. */
void system_hart_trap(struct system_hart *h, uint64_t cause, uint64_t value);

/* stimecmp by the firmware (SBI TIME). */
void system_hart_set_timer(struct system_hart *h, uint64_t deadline);

/* ---- Any thread ---- */

/* The hart leaves its engine with EXIT_PENDING soon, or wakes. */
void system_hart_kick(struct system_hart *h);

/* Interrupt controllers: levels of MSI, MTI, MEI, SEI; `lines` are BIT(IRQ_...). */
void system_hart_set_line(struct system_hart *h, uint64_t lines, bool level);

/* SBI IPIs, ACLINT's SSWI. */
void system_hart_raise_ssi(struct system_hart *h);

/* The time has come that ops->timer() told. */
void system_hart_poll(struct system_hart *h);

/* ---- From a hart's thread outside of its engine (SBI RFENCE) ---- */

enum system_fence {
    SYSTEM_FENCE_I,
    SYSTEM_SFENCE_VMA,      /* addresses in all address spaces */
    SYSTEM_SFENCE_VMA_ASID, /* in one */
};

/* On return each hart of the mask has done it before its next instruction. `size` 0 or UINT64_MAX: all addresses. May
 * be called by several harts at once, for each other, too. Caller's own hart: `self`. */
void system_fence(struct system_hart *self, uint64_t hart_mask, enum system_fence kind, uint64_t start,
                  uint64_t size, uint64_t asid);

#endif
