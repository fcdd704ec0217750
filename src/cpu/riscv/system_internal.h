/* What the files of a computer's harts share. Private to cpu/riscv.
 *
 *   system.c          the machine; a hart between its owner and its engine: kicks, interrupts, sleep
 *   system_memory.c   loads, stores and atomics that the TLB does not answer
 *   system_fetch.c    from a gva to something to execute
 *   system_code.c     which pages of guest memory have code, and who writes to them
 *   system_fence.c    fences, own and remote
 *   system_direct.c   translated code that needs no look-ups
 *   interp_system.c   the interpreter
 *   system_insn.c     instructions that translated code leaves to the dispatcher
 *   jit_system.c      the dispatcher of the engine that translates
 *   lockstep_system.c the engine that compares
 *
 * Threads: what takes a hart, on its thread. */
#ifndef CPU_RISCV_SYSTEM_INTERNAL_H
#define CPU_RISCV_SYSTEM_INTERNAL_H

#include "cpu/riscv/code.h"
#include "cpu/riscv/mmu.h"
#include "cpu/riscv/system.h"
#include "cpu/riscv/unit.h"
#include "isa/riscv/isa.h"

#include <pthread.h>

enum { SYSTEM_PAGE = 4096 };

struct system_pages {
    uint64_t *page;
    size_t count, room;
};

struct system {
    struct system_config config;
    struct code *code; /* owned: of all the memory, by gpa */
    struct system_hart **harts;
    /* Of each block of memory, a byte a page: bits PAGE_... (system_code.c). */
    _Atomic uint8_t *pages[GMEM_MAX_BLOCKS];
    /* Pages whose code cannot be watched before write tags are gone; the code's lock. */
    struct system_pages refused, sweeping;
    _Atomic uint64_t sweep; /* number of the last one */
    uint64_t compared;      /* pages by fences for want of a sweep, since the last one; the code's lock */
    uint64_t marks;         /* of the memory, when fences last looked at it; the code's lock */
};

/* What is between a hart and other threads. */
struct system_request {
    enum system_fence kind;
    uint64_t start, size, asid;
};
enum { SYSTEM_REQUESTS = 16 };

struct system_mailbox {
    pthread_mutex_t lock; /* everything here */
    pthread_cond_t served_one, wake;
    bool inside; /* the hart may execute instructions */
    uint64_t posted, served;
    unsigned waiting; /* threads, for `served_one` */
    unsigned count;   /* of requests; more than there is room for: forget everything */
    struct system_request requests[SYSTEM_REQUESTS];
    _Atomic bool asleep;
};

static inline struct system_hart *system_hart_of(struct hart *hart)
{
    return (struct system_hart *)hart;
}

static inline struct system_hart *system_hart_of_sys(const struct hart_sys *sys)
{
    return (struct system_hart *)((char *)sys - offsetof(struct system_hart, sys));
}

/* ---- system.c ---- */

/* The hart is to look at what is pending before the next jump. */
static inline void system_look(struct system_hart *h)
{
    hart_kick(&h->hart);
}

/* The state has changed that tells the translation: `tlb` and `context` of the hart follow. */
void system_set_context(struct system_hart *h);

/* Does what sys_csr() and its kin say (a set of enum sys_effect without SYS_ILLEGAL). True: what comes next has to be
 * fetched anew, or the hart has to look. */
bool system_effects(struct system_hart *h, unsigned effects);

/* A CSR instruction, `ahead` instructions behind hart.instret. Returns enum sys_effect, for system_effects(). */
unsigned system_csr(struct system_hart *h, unsigned number, enum sys_csr_op op, uint64_t operand,
                    unsigned ahead, uint64_t *old);

/* Takes the trap h->trap at hart.pc; returns where to go on. */
uint64_t system_take_trap(struct system_hart *h);

/* Serves what others want, takes interrupts: whenever hart.pending was set. False: the engine is to be left. */
bool system_serve(struct system_hart *h);

static inline bool system_fail(struct system_hart *h, uint64_t cause, uint64_t value)
{
    h->trap = (struct system_trap){cause, value};
    return false;
}

/* ---- system_memory.c: false: h->trap says why. Misaligned ones may cross pages. ---- */

bool system_load(struct system_hart *h, uint64_t gva, unsigned size, uint64_t *value);
bool system_store(struct system_hart *h, uint64_t gva, unsigned size, uint64_t value);

/* For accesses of translated code to the bytes, which do not cross a page: what to add for host addresses. The first of them is about to
 * be made. False: not by way of the TLB, or it will end in a trap. */
bool system_reach(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access,
                  uint64_t *addend);

/* The host address for an atomic of `size` bytes; NULL: h->trap says why. LR is MMU_LOAD, all else MMU_STORE. */
void *system_atomic(struct system_hart *h, uint64_t gva, unsigned size, enum mmu_access access);

/* Sees to it that the page of the address can be accessed so without this hart hearing of it, and finds its gpa and whether that is so
 * for stores, too. NULL: it cannot. */
const struct gmem_block *system_open(struct system_hart *h, uint64_t gva, enum mmu_access access, uint64_t *gpa,
                                     bool *writable);

/* Where at the host is what an access has just reached? NULL: at a device. False: the page is not to be had any more. */
bool system_locate(struct system_hart *h, uint64_t gva, enum mmu_access access, const uint8_t **host);

/* Cache-block management; `row`: RV_CBO_... False with CAUSE_ILLEGAL where the mode may not. */
bool system_cache_block(struct system_hart *h, unsigned row, uint64_t gva);

/* ---- system_fetch.c ---- */

/* The page of code around an address, if it may be executed as a whole; else NULL, and h->trap says why unless its
 * cause is MMU_OK: then each instruction there has to be looked at. */
const struct tlb_code *system_fetch_page(struct system_hart *h, uint64_t gva);

/* What to execute at an address: the first cell of a unit, or of an instruction alone; hart.bias is right for it.
 * NULL: h->trap says why. */
const union cell *system_find(struct system_hart *h, uint64_t gva);

/* The instruction at hart.pc alone; `insn`, unless it is NULL, gets what it is. */
const union cell *system_step(struct system_hart *h, struct rv_insn *insn);

int system_fetch_init(struct system_hart *h);
void system_fetch_release(struct system_hart *h);

#define SYSTEM_JUMPS 16384u

static inline struct system_jump *system_jump_slot(struct system_hart *h, uint64_t pc)
{
    return &h->jumps[(pc >> 1) % SYSTEM_JUMPS];
}

/* The unit that the jump led to, dead or alive. */
static inline const struct unit *system_jump_unit(const struct system_jump *jump)
{
    return (const struct unit *)((const char *)jump->cell - offsetof(struct unit, cells));
}

/* ---- system_code.c ---- */

extern const struct code_ops system_code_ops; /* context: struct system */

int system_code_init(struct system *s);
void system_code_release(struct system *s);

/* A hart is about to keep a write tag of the page, or to write to it: code there will be found changed by the next
 * fence. */
void system_code_write(struct system *s, const struct gmem_block *block, uint64_t gpa);

/* Takes away write tags of pages with code (SYSTEM_WANT_SWEEP). */
void system_code_sweep(struct system_hart *h);

/* ---- system_fence.c ---- */

int system_mailbox_init(struct system_hart *h);
void system_mailbox_release(struct system_hart *h);

/* The hart is about to execute instructions, or does not any more: nobody waits for it then. */
void system_go_inside(struct system_hart *h);
void system_go_outside(struct system_hart *h);
bool system_is_inside(const struct system_hart *h);

void system_serve_fences(struct system_hart *h);

/* The hart's own FENCE.I and SFENCE.VMA. True: as system_effects(). */
void system_fence_i(struct system_hart *h);
bool system_sfence(struct system_hart *h, unsigned what, uint64_t address, uint64_t asid);

/* ---- system_insn.c ---- */

enum system_done {
    SYSTEM_NOT_DONE, /* nothing has happened: the interpreter is to execute it */
    SYSTEM_DONE,     /* hart.pc is where to go on, traps included; the hart may have to look */
    SYSTEM_LEFT,     /* hart.exit says why the engine is to be left */
};

/* Executes the instruction at hart.pc if it is a CSR instruction, a privileged one or FENCE.I. Translated code has just
 * come to it: its page is in the code TLB. */
enum system_done system_execute(struct system_hart *h);

/* ---- jit_system.c ---- */

/* As interp_system_go(), until the engine is left. */
void jit_system_go(struct system_hart *h);

/* Runs translated code until it comes back, as jit_enter(). */
unsigned system_jit_enter(struct system_hart *h, const void *entry);

/* Nothing, for engines that do not translate. */
int jit_system_init(struct system_hart *h);
void jit_system_release(struct system_hart *h);
void jit_system_enter_thread(struct system_hart *h);
void jit_system_leave_thread(void);

/* ---- system_direct.c ---- */

/* The hart's context is another one; the hart is about to enter translated code; and to run on this thread. */
void direct_set_context(struct system_hart *h);
void direct_enter(struct system_hart *h);
void direct_enter_thread(struct system_hart *h);

/* May the code that is executed now become direct? Users' code, and with hot:1 all code. */
bool direct_may_be(const struct system_hart *h);

/* The unit at `gpa` has been entered often. */
void direct_heat(struct system_hart *h, uint64_t gpa);

/* Direct code was left before the instruction at hart.pc. True: that can go on; false: it is to be interpreted. */
bool direct_outside(struct system_hart *h);

/* For the host's signal handler: true, the access is to be done again. */
bool direct_fault(struct system_hart *h, uint64_t address, void *ucontext);

/* It was not, and the hart is at the instruction: true, it is to be interpreted. */
bool direct_refused(struct system_hart *h);

/* ---- lockstep_system.c ---- */

/* As jit_system_go(). */
void system_lockstep_go(struct system_hart *h);

/* An access by translated code, as its helper does it. False: there is none. */
struct jit_access;
bool system_lockstep_access(struct system_hart *h, struct jit_access *a);

/* Nothing, for other engines. -1 when there is no memory. */
int system_lockstep_init(struct system_hart *h);
void system_lockstep_release(struct system_hart *h);

/* ---- interp_system.c ---- */

/* Runs from hart.pc on, or from `cell`, which is there; hart.exit says why it came back. EXIT_NONE: came to a unit
 * that was counted out or has a translation, and returns it. */
const struct unit *interp_system_go(struct system_hart *h, const union cell *cell);

#endif
