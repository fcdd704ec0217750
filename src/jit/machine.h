/* What translated code and the monitor share at run time.
 *
 * While translated code runs, one host register points to the CPU's state (the front end's structure, which embeds a
 * struct jit_state), pinned slots are in their registers and the stack pointer is the CPU's return stack.
 *
 * Nothing in translated code looks whether it is to stop. Who wants that sets `pending` and interrupts the thread; its
 * handler lets flat code go on instruction by instruction to the next entry of a unit, where all slots are home, or to a
 * loop's POLL, and from there to the `poll` thunk. Shared code that a handler cannot step through (a call of the front end's functions, the way
 * in) looks at `pending` and traps.
 *
 * Paged code, of which an instruction of the guest's takes many of the host's, looks at `pending` on ways back within a page (struct
 * ir_exit.poll). The handler makes all other ways fail to find their end: it puts `nowhere` in the place of `far`.
 *
 * Guest memory is either flat: one host address is guest address 0. Or it is paged: each access looks in a table for where its
 * page is, and asks the front end where the table does not say. Then code is paged, too: a unit's pc, and all that its exits know, are
 * places in memory, and what the guest calls their addresses is more by the state's `bias`, which changes from page to page. A unit and what
 * it is linked to are in one page; every other way looks up the address.
 *
 * Threads: a state belongs to the thread that runs it. Lifetime: embedded in its CPU. */
#ifndef JIT_MACHINE_H
#define JIT_MACHINE_H

#include "jit/ir.h"

/* Where indirect jumps went. A slot's index is (pc >> 1) % JIT_JUMP_COUNT; an empty one's pc has another index. */
struct jit_jump {
    uint64_t pc;
    const void *entry;
};
/* The same of paged code: where an address was found. */
struct jit_far {
    uint64_t pc; /* the guest's address */
    const void *entry;
    uint64_t bias;
    uint64_t unused;
};
#define JIT_FAR_BITS   12
#define JIT_FAR_COUNT  (1u << JIT_FAR_BITS)

#define JIT_JUMP_BITS  12
#define JIT_JUMP_COUNT (1u << JIT_JUMP_BITS)

/* Why translated code came back. */
enum jit_reason {
    JIT_LINK,   /* the exit of link number `value` goes to a unit that it was not yet tied to */
    JIT_LOOKUP, /* goes on at pc `value`; of paged code, the guest's address */
    JIT_POLL,   /* was asked to stop, and has come to a unit's entry or a POLL; goes on at pc `value` */
    JIT_FAULT,  /* a memory access faulted: struct jit_fault says where */
    JIT_STOP, /* + an exit's reason; `value` is the pc to go on at; of a counted one the first argument is its own */
};

#define JIT_SPILLS      64
#define JIT_COUNTERS    64
#define JIT_ENTRIES     4096
#define JIT_CALL_VALUES 3

/* The host's registers where translated code faulted. */
struct jit_fault {
    uint64_t integer[16]; /* numbered as the host's instructions number them */
    uint64_t fp[16];      /* low halves */
    const void *pc;
    uint64_t address; /* as the host told it: 0 when it did not know */
    int host_signal;
};

/* Paged memory: what is known of a page of 4096 bytes, in the table at (address >> 12) % its size. A tag is the guest address of
 * the page, or JIT_PAGE_NONE where the front end wants to be asked. What may be written may be read. */
struct jit_page {
    uint64_t read, write; /* tags */
    uint64_t own;         /* the front end's */
    uint64_t addend;      /* host address less guest address */
};
#define JIT_PAGE_NONE UINT64_C(1) /* no page's address */

/* An access that the table does not serve. */
struct jit_access {
    uint64_t address;
    /* Of a store; loads leave theirs here, atomics the host address where they will do the operation. IR_HOST: the number of bytes,
     * which do not cross a page; becomes the page's addend, or JIT_PAGE_NONE where each access has to be looked up. */
    uint64_t value;
    uint8_t op;   /* enum ir_op */
    uint8_t type; /* enum ir_type */
    bool write;   /* IR_HOST */
    uint8_t unused[5];
};

/* Does what struct jit_state.access says. `at` is where in the unit: false leaves the code with JIT_FAULT, for which the
 * function has put that and the registers, struct jit_state.saved, into a struct jit_fault. */
typedef bool jit_helper(void *state_register, const void *at);

struct jit_state {
    void *host_stack;                    /* the monitor's stack pointer meanwhile */
    void *return_sp;                     /* the return stack's, while the monitor runs */
    void *return_base;                   /* its bottom, where a word leads to a look-up */
    uint64_t value;                      /* of enum jit_reason */
    uint64_t arguments[JIT_CALL_VALUES]; /* of calls */
    int32_t counters
        [JIT_COUNTERS]; /* of ways back, by where they lead: jit_counter(); leaves when one is below 0 */
    uint64_t spills[JIT_SPILLS];
    uint64_t saved[32]; /* registers during a call; for a jit_helper all of them, integer ones first */
    struct jit_jump jumps[JIT_JUMP_COUNT];
    int32_t
        entries[JIT_ENTRIES]; /* the same of the entries of quick units, by their pc: jit_entry_counter() */
    struct jit_access access;
    /* Paged code: JIT_FAR_COUNT of them, at (address >> 1) % that, of the current context; and as many without an address. */
    struct jit_far *far, *nowhere;
};

/* Which counter counts the ways to a pc; several may share one. */
static inline unsigned jit_counter(uint64_t pc)
{
    return (pc >> 1) % JIT_COUNTERS;
}

/* The same of entries. That several units share one makes their number a sample: the unit that is entered when it has run out is
 * probably one that is entered often. */
static inline unsigned jit_entry_counter(uint64_t pc)
{
    return (pc >> 1) % JIT_ENTRIES;
}

typedef uint64_t jit_call(uint64_t a, uint64_t b, uint64_t c);

/* What front end and back end agree on; constant, outlives all units. Offsets are from where the state register
 * points. */
struct jit_machine {
    struct ir_machine ir;
    int32_t state;       /* offset of the struct jit_state */
    int32_t pending;     /* offset of a 32-bit word: not zero when the engine is to stop */
    uint8_t return_slot; /* where returns find their address */
    uint64_t
        memory_base; /* hva of guest address 0; when it is not 0, the host's gs segment has it as its base */
    jit_call *const *calls; /* by the number in CALL */
    unsigned page_bits;     /* paged memory: the table has 1 << page_bits entries; 0: memory is flat */
    int32_t pages;          /* offset of the pointer to the table */
    int32_t bias;           /* paged code: offset of the guest's addresses less the units' */
    jit_helper *helper;
};

#endif
