/* Engines: what runs a hart. The interpreter alone; the translator with the interpreter for cold code (jit.c); and both of
 * them side by side, compared after every unit (lockstep.c, lockstep_system.c).
 *
 * Threads, lifetime: options are constant and outlive the code that they were given to. */
#ifndef CPU_RISCV_ENGINE_H
#define CPU_RISCV_ENGINE_H

#include "cpu/riscv/hart.h"
#include "jit/assemble.h"

enum engine_kind { ENGINE_INTERP, ENGINE_JIT, ENGINE_LOCKSTEP };

/* What is printed of every translated unit, on standard error. */
enum engine_dump { DUMP_GUEST = 1, DUMP_IR = 2, DUMP_HOST = 4 };

/* Whether loops are compiled by a thread of their own. */
enum engine_threads {
    ENGINE_THREADS_NONE,   /* by the hart that finds them */
    ENGINE_THREADS_SPARE,  /* where that thread has another processor to run on */
    ENGINE_THREADS_ALWAYS, /* tests: on the only one too */
};

struct engine_options {
    enum engine_kind kind;
    unsigned dump;      /* enum engine_dump */
    unsigned threshold; /* times that code is interpreted before it is translated */
    unsigned quick;     /* times that a quick unit is entered before it is made anew; 0: there are none */
    unsigned max_insns; /* guest instructions of a unit */
    unsigned hot;       /* times that a way back is gone before the loop is translated as one; 0: never */
    enum engine_threads threads;
    bool timed;         /* harts take the time of their tiers */
    size_t cache_bytes; /* memory for translated code; 0: the default */
    struct jit_modes modes;
};

/* Thresholds are measured (docs/performance.md). */
#define ENGINE_DEFAULTS                                                                    \
    {                                                                                      \
        .kind = ENGINE_JIT, .threshold = 4, .quick = 65536, .max_insns = 64, .hot = 16384, \
        .threads = ENGINE_THREADS_SPARE                                                    \
    }

enum { ENGINE_MAX_INSNS = 256, ENGINE_MAX_CACHE = 1 << 30 };

/* From "jit"; "random:7,few-registers,threshold:0"; "guest,host". False when it is not understood. */
bool engine_parse_kind(struct engine_options *options, const char *text);
bool engine_parse_options(struct engine_options *options, const char *text);
bool engine_parse_dump(struct engine_options *options, const char *text);

struct engine_stats {
    uint64_t units, quick, loops, insns, bytes, compile_ns, failed; /* translated */
    uint64_t insn_ns; /* half of the guest instructions were translated for no more than that each */
    uint64_t killed, evictions;
    uint64_t links, tied;
    uint64_t asked, dropped,
        thread_ns; /* requests to the compile thread; those that led to nothing; its time */
};

struct engine_stats code_engine_stats(struct code *code);

/* Runs the hart until something needs its owner; hart->exit says what, hart->pc is exact, registers are in the hart. */
void engine_run(struct hart *hart);

/* Around everything that runs the hart on a host thread. */
void engine_enter_thread(struct hart *hart);
void engine_leave_thread(struct hart *hart);

/* In the child of a fork, by the thread that had entered. */
void engine_fork_child(struct hart *hart);

/* For the owner's SIGSEGV/SIGBUS handler, installed with SA_ONSTACK. If the fault at `host_address` is an
 * access of guest code by this hart's engine, changes the ucontext so that, when the handler returns, engine_run() returns
 * EXIT_FAULT; says whether it was. */
bool engine_fault(struct hart *hart, int host_signal, uint64_t host_address, void *ucontext);

/* For the owner's signal handlers on the hart's thread: after a hart_kick() there, on SIGTRAP, and on what engine_kick()
 * sends, which may come late, when the hart has stopped by itself, and end a system call. When the handler returns, the engine
 * comes to its next chance to stop; translated code gets there in single steps, each of which is another SIGTRAP. SIGTRAP's
 * handler is installed with SA_ONSTACK. All these handlers, those of faults too, block all signals; nothing else blocks
 * SIGTRAP while the hart runs. */
void engine_interrupt(struct hart *hart, void *ucontext);

/* hart_kick() by another thread. */
void engine_kick(struct hart *hart);

/* Is this SIGTRAP for engine_interrupt(), and none that was sent by or for the guest? */
bool engine_owns_trap(const siginfo_t *info, const void *ucontext);

#endif
