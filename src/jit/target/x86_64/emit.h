/* What the files of the x86-64 target share. Private to it. */
#ifndef JIT_X86_64_EMIT_H
#define JIT_X86_64_EMIT_H

#include "jit/target/x86_64/encode.h"

/* Constants of jit_thunks.constants, 16 bytes each. */
enum x86_constant {
    X86_SIGN64,
    X86_REST64,
    X86_SIGN32,
    X86_REST32,
    X86_BOX,
    X86_NAN64,
    X86_NAN32,
    X86_MINUS64,
    X86_MINUS32,
    X86_CONSTANTS
};

/* Behind them: from MXCSR's flags to the guest's, 64 bytes, and back, 32 bytes. */
enum { X86_FLAGS_TABLE = 16 * X86_CONSTANTS, X86_MXCSR_TABLE = X86_FLAGS_TABLE + 64 };

/* As many as the operation with most operands needs at once: the loop around cmpxchg, a selection by a comparison.
 * Three for floating point: the fused multiply-add. */
#define X86_SCRATCH (JIT_REG(RAX) | JIT_REG(RCX) | JIT_REG(RDX) | JIT_REG(R13))

static inline struct x86_mem x86_constant_at(const struct jit_assembler *as, enum x86_constant c)
{
    return X86_AT((const char *)as->thunks->constants + 16 * c);
}

static inline uint32_t x86_width(const struct ir_ins *ins)
{
    return ins->type == IR_I64 ? X86_W : 0;
}

/* An i32 operation may read a value from before its extension, when that is not computed otherwise. */
ir_ref x86_narrow(struct jit_assembler *as, const struct ir_ins *ins, ir_ref ref);

/* The operand of a memory access; registers are chosen. */
struct x86_mem x86_address(struct jit_assembler *as, ir_ref ref);

/* What sets the host's flags for a value being not zero, and the condition that says so (for FEQ both of NE and P have to
 * be looked at). x86_test_prepare() chooses the registers; jit_done() is left to the caller. */
enum x86_test_kind {
    X86_TEST_REGISTER,         /* a against 0 */
    X86_TEST_REGISTERS,        /* a and b */
    X86_TEST_IMMEDIATE,        /* a and imm */
    X86_TEST_MEMORY,           /* a and what is in memory */
    X86_TEST_MEMORY_REGISTER,  /* what is in memory and b */
    X86_TEST_MEMORY_IMMEDIATE, /* what is in memory and imm */
    X86_TEST_FP,
    X86_TEST_BOX, /* the upper half of a, by way of b */
};
struct x86_test {
    enum x86_test_kind kind;
    enum x86_condition condition;
    bool equal_ordered;        /* true is: E and NP */
    bool unequal_or_unordered; /* true is: NE or P */
    ir_ref compare;            /* X86_TEST_FP */
    uint32_t width;
    unsigned a, b;
    int32_t imm;
    struct x86_mem memory;
};
struct x86_test x86_test_prepare(struct jit_assembler *as, ir_ref condition, ir_ref user);
void x86_test_emit(struct jit_assembler *as, const struct x86_test *test);

void x86_emit_fp(struct jit_assembler *as, ir_ref ref);
void x86_finish_cold(struct jit_assembler *as, unsigned reg, enum ir_op op, enum ir_type type);
void x86_emit_memory(struct jit_assembler *as, ir_ref ref);

/* Host instructions of loads and stores. */
uint32_t x86_load_opcode(unsigned op);
uint32_t x86_move_fp(enum ir_type type, bool store);
bool x86_store_immediate(const struct jit_assembler *as, const struct ir_ins *ins, int32_t *imm);
ir_ref x86_stored(struct jit_assembler *as, const struct ir_ins *ins);
void x86_store_imm(struct jit_assembler *as, unsigned op, struct x86_mem mem, int32_t imm);
void x86_emit_zero(struct jit_assembler *as, struct x86_mem mem, unsigned zero); /* ZERO */
void x86_store_reg(struct jit_assembler *as, unsigned op, struct x86_mem mem, unsigned reg);

static inline bool x86_is_paged(const struct jit_assembler *as)
{
    return as->machine->page_bits;
}

/* Does an access look its page up? */
static inline bool x86_looks_up(const struct jit_assembler *as)
{
    return x86_is_paged(as) && !as->ir->direct;
}

static inline int32_t x86_state_offset(const struct jit_assembler *as, size_t member)
{
    return as->machine->state + (int32_t)member;
}

/* Paged memory: loads and stores that look up their page, and HOST (false: it is none of them); and what brings
 * the host address of an atomic's operand, which is aligned, to `at`, not rax. */
bool x86_emit_paged(struct jit_assembler *as, ir_ref ref);
void x86_emit_paged_address(struct jit_assembler *as, const struct ir_ins *ins, unsigned at);
void x86_emit_exit(struct jit_assembler *as, ir_ref ref);

/* In cold code: the way home and out of a side exit. Returns its address. */
const uint8_t *x86_side_stub(struct jit_assembler *as, const struct jit_steps *steps,
                             const struct ir_exit *exit);

/* The same of an exit with STOP, where everything is home. */
const uint8_t *x86_stop_stub(struct jit_assembler *as, const struct ir_exit *exit);

/* Where everything is home: leaves for `pc` by a link if the condition holds; leaves as the exit says. Where an exit's pc is computed,
 * it is in rax. */
void x86_side_exit(struct jit_assembler *as, enum x86_condition condition, uint64_t pc);
void x86_emit_way_out(struct jit_assembler *as, const struct ir_exit *exit);
bool x86_exit_computes(const struct jit_assembler *as, const struct ir_exit *exit);
void x86_emit_loop(struct jit_assembler *as);
void x86_emit_count(struct jit_assembler *as);
void x86_make_thunks(struct jit_assembler *as, struct jit_thunks *thunks);
void x86_emit_call(struct jit_assembler *as, ir_ref ref);

/* Quick translation (quick.c). */
struct jit_quick_code;
struct jit_quick_ins;
void x86_quick_begin(struct jit_assembler *as, const struct jit_quick_code *code); /* the entry */
void x86_quick_ins(struct jit_assembler *as, const struct jit_quick_ins *ins);
void x86_quick_end(struct jit_assembler *as, const struct jit_quick_code *code); /* the exit at the end */

void x86_load_check(struct jit_assembler *as, unsigned slot);

/* Ways out of paged code (exits_paged.c). All slots are home; rax, rcx and rdx are overwritten. */
bool x86_is_far(const struct jit_assembler *as, uint64_t pc); /* in another page than the unit? */
void x86_far_address(struct jit_assembler *as, uint64_t pc);  /* rax = the guest's address */
void x86_emit_far(struct jit_assembler *as, uint64_t pc);     /* goes on there */
void x86_far_forwards(struct jit_assembler *as, uint64_t pc); /* the same, in cold code */
void x86_emit_far_lookup(struct jit_assembler *as, bool call,
                         const uint8_t *miss); /* goes on at the address in rax */
const uint8_t *x86_make_far_lookup(struct jit_assembler *as, const uint8_t *miss);
void x86_push_bias(struct jit_assembler *as);
void x86_compare_paged_return(struct jit_assembler *as, const struct ir_exit *exit, const uint8_t *missed);

/* Cold code of an operation: between these, emission is forwards at the end of the cold code. Returns its start. */
static inline const uint8_t *x86_cold_begin(struct jit_assembler *as)
{
    as->in_cold = true;
    return jit_here(as);
}

static inline void x86_cold_end(struct jit_assembler *as)
{
    as->in_cold = false;
}

/* A short jump forwards within cold code: x86_skip_to() makes it lead to where emission then is. */
uint8_t *x86_skip(struct jit_assembler *as, enum x86_condition condition);
void x86_skip_to(struct jit_assembler *as, uint8_t *skip);

/* Compare: cmp, comisd and kin for integer and floating-point operands. */
enum { ALU_ADD = 0, ALU_OR = 1, ALU_AND = 4, ALU_SUB = 5, ALU_XOR = 6, ALU_CMP = 7 };
#define X86_ALU(n)       X86(0, 0, (n) << 3 | 3) /* reg, rm */
#define X86_ALU_STORE(n) X86(0, 0, (n) << 3 | 1) /* rm, reg */
#define X86_MOV          X86(0, 0, 0x8b)
#define X86_MOV_STORE    X86(0, 0, 0x89)
#define X86_TEST         X86(0, 0, 0x85)
#define X86_LEA          X86(0, 0, 0x8d)
#define X86_XCHG         X86(0, 0, 0x87)

/* An operation of the group with an immediate, in its shortest form. */
void x86_alu_imm(struct jit_assembler *as, unsigned n, uint32_t width, unsigned reg, int32_t imm);
void x86_alu_imm_m(struct jit_assembler *as, unsigned n, uint32_t width, struct x86_mem mem, int32_t imm);

#endif
