/* A RISC-V hart: the state of one hardware thread, and how an engine runs it.
 *
 * Threads: a hart belongs to the thread that runs it; only `pending` may be touched by others and by signal handlers.
 * Lifetime: embedded in its owner; hart_init() ... hart_release(). The owner keeps `code` alive.
 * Source: The RISC-V Instruction Set Manual, volume I. */
#ifndef CPU_RISCV_HART_H
#define CPU_RISCV_HART_H

#include "host/guest_thread.h"
#include "host/sanitize.h"
#include "host/unwind.h"
#include "jit/machine.h"

#include <guise.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct unit_chunk;
struct code;
struct lockstep;
struct tlb_entry;
union cell;
struct jump_entry;

/* Why an engine came back. */
enum exit_kind {
    EXIT_NONE,
    EXIT_PENDING,    /* hart.pending was set; pc is the next instruction to execute */
    EXIT_ECALL,      /* pc is the ecall itself */
    EXIT_EBREAK,     /* pc is the ebreak itself */
    EXIT_ILLEGAL,    /* pc is the instruction */
    EXIT_FETCH,      /* no executable instruction at `address`; pc is where execution wanted to go on */
    EXIT_FAULT,      /* a load, store or atomic could not reach `address`; pc is the instruction */
    EXIT_MISALIGNED, /* an atomic's address is not aligned; pc is the instruction */
    EXIT_WFI,        /* a computer's hart: nothing to do before an interrupt; pc is behind the WFI */
    EXIT_WRONG,      /* the engine is at fault, and has said on standard error how */
};

struct hart_exit {
    enum exit_kind kind;
    uint64_t address; /* EXIT_FETCH, EXIT_FAULT, EXIT_MISALIGNED: guest address */
    int host_signal;  /* EXIT_FAULT: SIGSEGV or SIGBUS as the host saw it */
};

/* Why a hart came back from translated code to the dispatcher of its engine, for --stats. */
enum engine_exit {
    ENGINE_EXIT_LINK,   /* the first time on this way */
    ENGINE_EXIT_LOOKUP, /* an indirect jump that the jump cache did not know */
    ENGINE_EXIT_POLL,
    ENGINE_EXIT_FAULT,
    ENGINE_EXIT_ECALL,
    ENGINE_EXIT_EBREAK,
    ENGINE_EXIT_ILLEGAL,
    ENGINE_EXIT_FETCH,
    ENGINE_EXIT_INTERPRET, /* an instruction that only the interpreter has */
    ENGINE_EXIT_OUTSIDE,   /* an address that is not in the window of direct code */
    ENGINE_EXIT_HOT,       /* a way back has been gone often */
    ENGINE_EXIT_ENTERED,   /* a unit has been entered often */
    ENGINE_EXIT_COLD,      /* the other way round: the interpreter came to code that is not cold */
    ENGINE_EXIT_COUNT
};

/* What the time of a hart goes by in, for --stats. */
enum engine_tier { ENGINE_TIER_INTERPRETER, ENGINE_TIER_TRANSLATED, ENGINE_TIER_COUNT };

/* Integer register 32 is where writes to x0 go: the predecoder redirects them, so no instruction tests for x0. */
enum { HART_X_SINK = 32 };

struct hart {
    uint64_t x[33];
    /* Next to the registers, for translated code has short addresses for them there. */
    _Atomic uint32_t pending; /* nonzero: leave the engine; the interpreter looks at taken branches */
    uint64_t bias;         /* a computer's: gva - gpa of the page that it executes; units are found by gpa */
    uint64_t window_limit; /* a computer's: size of its data context's window; 0: it has none */
    uint64_t f[32];        /* NaN-boxed */
    uint64_t pc;
    uint32_t frm; /* dynamic rounding mode as written to the CSR, 0..7 */
    uint32_t
        host_rm; /* the RISC-V mode that the host's FPU is set to; HART_RM_NONE when frm has no host mode */
    uint32_t fflags; /* flags raised in software; the host FPU's sticky flags are added when they are read */
    uint32_t fflags_upper;    /* 0: for the translator both are one slot of 8 bytes */
    uint64_t reserve_address; /* LR/SC reservation, HART_NO_RESERVE when there is none */
    uint64_t reserve_value;
    uint64_t instret;   /* instructions retired, exact at exits */
    uint64_t mem_base;  /* hva of gva 0 */
    uint64_t mem_limit; /* guest addresses are below this */
    /* A computer's hart (system.h): the array of its current data context; an id of what gvas of code lead to, a new one whenever
     * that may have changed; the hva of gva 0 of the data context's window, 0 when it has none. */
    struct tlb_entry *tlb;
    uint64_t context;
    uint64_t window;
    struct code *code;        /* borrows: predecoded code of this address space */
    struct jump_entry *jumps; /* owned: where indirect jumps went */
    uint64_t jumps_epoch;     /* code epoch that `jumps` is of */
    _Atomic uint64_t
        epoch; /* code epoch in which the hart entered its units, 0 while it is outside (code.c) */
    const union cell *cell; /* the cell whose memory access is under way: where a fault comes from */
    struct host_unwind unwind;
    struct hart_exit exit;
    struct hart *code_next; /* list of the harts of `code` */
    uint64_t exits[ENGINE_EXIT_COUNT];
    struct unit_chunk *step;   /* owned: where single instructions are predecoded; NULL until the first */
    struct lockstep *lockstep; /* owned; of that engine, or NULL */
    uint64_t
        jit_epoch; /* code epoch that `jit.jumps` and the return stack are of; 0: empty, UINT64_MAX: none */
    struct host_guest_thread host; /* an engine that translates: stacks */
    struct jit_fault fault; /* in translated code, under way to the dispatcher; no signal: to stop there */
    struct jit_state jit;   /* near the end: most of it is only touched when it is used */
    uint64_t tier_ticks[ENGINE_TIER_COUNT]; /* engine_options.timed: host_ticks() */
    const void *retried;                    /* where single steps have met an atomic, or NULL */
};

/* Bits of `pending`. */
#define HART_PENDING_KICK 1u
#define HART_PENDING_STEP 2u /* the hart's own: the interpreter executes one instruction at a time */

#define HART_NO_RESERVE   UINT64_MAX
#define HART_RM_NONE      8u

/* Is frm a mode that the host has? */
static inline bool hart_rounds_as_host(const struct hart *hart)
{
    return hart->frm < 4;
}

/* Does its engine translate? Then `instret` counts what was interpreted alone. */
static inline bool hart_translates(const struct hart *hart)
{
    return hart->host.mapping;
}

/* For an engine that translates, the memory must be zero. */
int hart_init(struct hart *hart, struct code *code, uint64_t mem_base, uint64_t mem_limit,
              struct guise_error *err);
void hart_release(struct hart *hart);

/* Copies the registers (not caches) of `from`, the calling thread's hart, which has the FPU, into an initialized hart: a
 * new thread starts so. */
void hart_copy_state(struct hart *hart, const struct hart *from);

/* The FPU belongs to the guest between these two; on the same host thread, around everything that runs or serves it.
 * What runs between must do no floating-point arithmetic of its own. */
void hart_fpu_enter(struct hart *hart);
void hart_fpu_leave(struct hart *hart);

/* fcsr as the guest sees it: frm << 5 | fflags. */
uint32_t hart_fcsr(const struct hart *hart);
void hart_set_fcsr(struct hart *hart, uint32_t fcsr);

/* Asks the hart to leave its engine when it looks. By its own thread, async-signal-safe: see engine_interrupt() for handlers,
 * and engine_kick() for other threads. */
HOST_NO_TSAN static inline void hart_kick(struct hart *hart)
{
    atomic_store_explicit(&hart->pending, HART_PENDING_KICK, memory_order_release);
}

/* The interpreter alone; see engine.h. */
void interp_run(struct hart *hart);
bool interp_fault(struct hart *hart, int host_signal, uint64_t host_address, void *ucontext);

/* What CSR `time` counts; also the frequency that riscv_hwprobe tells. */
#define HART_TIME_HZ UINT64_C(1000000000)

#endif
