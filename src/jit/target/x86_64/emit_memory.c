/* Loads, stores, atomics. */
#include "host/sanitize.h"
#include "jit/target/x86_64/emit.h"

/* [x + constant], [x + y * 2^n + constant]: as much of the address as is not computed for others. */
static bool splits(struct jit_assembler *as, ir_ref ref, ir_ref *a, ir_ref *b)
{
    if (ir_is_constant(ref) || !jit_is_idle(as, ref))
        return false;
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (ins->op != IR_ADD || ins->type != IR_I64)
        return false;
    *a = ins->a;
    *b = ins->b;
    return true;
}

static bool is_displacement(const struct jit_assembler *as, ir_ref ref)
{
    return ir_is_constant(ref) && x86_fits32(ir_constant_value(as->ir, ref));
}

/* y of an idle y << 0..3. */
static ir_ref index_of(struct jit_assembler *as, ir_ref ref, uint8_t *scale)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    *scale = 0;
    if (ins->op != IR_SHL || ins->type != IR_I64 || !jit_is_idle(as, ref) || !ir_is_constant(ins->b) ||
        ir_is_constant(ins->a))
        return ref;
    int64_t by = ir_constant_value(as->ir, ins->b);
    if (by < 0 || by > 3)
        return ref;
    *scale = (uint8_t)by;
    return ins->a;
}

struct x86_mem x86_address(struct jit_assembler *as, ir_ref ref)
{
    struct x86_mem m = {.base = -1, .index = -1, .guest = true};
    ir_ref a, b;
    if (is_displacement(as, ref)) {
        m.disp = (int32_t)ir_constant_value(as->ir, ref);
        return m;
    }
    if (splits(as, ref, &a, &b) && is_displacement(as, b)) {
        m.disp = (int32_t)ir_constant_value(as->ir, b);
        ref = a;
    }
    if (splits(as, ref, &a, &b) && !ir_is_constant(a) && !ir_is_constant(b)) {
        ir_ref index = index_of(as, b, &m.scale);
        if (m.scale == 0) {
            index = index_of(as, a, &m.scale);
            a = m.scale ? b : a;
            index = m.scale ? index : b;
        }
        m.base = (int8_t)jit_use(as, a, JIT_INTEGERS);
        m.index = (int8_t)jit_use(as, index, JIT_INTEGERS);
    } else {
        m.base = (int8_t)jit_use(as, ref, JIT_INTEGERS);
    }
    return m;
}

uint32_t x86_load_opcode(unsigned op)
{
    static const uint32_t opcodes[] = {
        [IR_LDS8 - IR_LDS8] = X86(0, 1, 0xbe) | X86_W,  [IR_LDU8 - IR_LDS8] = X86(0, 1, 0xb6),
        [IR_LDS16 - IR_LDS8] = X86(0, 1, 0xbf) | X86_W, [IR_LDU16 - IR_LDS8] = X86(0, 1, 0xb7),
        [IR_LDS32 - IR_LDS8] = X86(0, 0, 0x63) | X86_W, [IR_LDU32 - IR_LDS8] = X86_MOV,
        [IR_LD64 - IR_LDS8] = X86_MOV | X86_W,
    };
    return opcodes[op - IR_LDS8];
}

uint32_t x86_move_fp(enum ir_type type, bool store)
{
    return X86(type == IR_F64 ? 0xf2 : 0xf3, 1, store ? 0x11 : 0x10);
}

/* By way of a span it cannot fault. */
static void settle_fault(struct jit_assembler *as, const struct ir_ins *ins)
{
    if (!ir_is_host_address(as->ir, ins->a))
        jit_settle_fault(as);
}

static void emit_load(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_INTEGERS);
    jit_share(as, r);
    settle_fault(as, ins);
    x86_rm(as, x86_load_opcode(ins->op), r, x86_address(as, ins->a));
    jit_done(as);
}

static void emit_load_fp(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    unsigned r = jit_def(as, ref, JIT_FPS);
    settle_fault(as, ins);
    struct x86_mem m = x86_address(as, ins->a);
    x86_sse_m(as, x86_move_fp(ins->type, false), r, 0, m);
    jit_done(as);
}

static const struct {
    uint32_t op, op_imm;
    unsigned size;
} stores[] = {
    [IR_ST8 - IR_ST8] = {X86(0, 0, 0x88) | X86_B, X86(0, 0, 0xc6), 1},
    [IR_ST16 - IR_ST8] = {X86(0x66, 0, 0x89), X86(0x66, 0, 0xc7), 2},
    [IR_ST32 - IR_ST8] = {X86(0, 0, 0x89), X86(0, 0, 0xc7), 4},
    [IR_ST64 - IR_ST8] = {X86(0, 0, 0x89) | X86_W, X86(0, 0, 0xc7) | X86_W, 4},
};

bool x86_store_immediate(const struct jit_assembler *as, const struct ir_ins *ins, int32_t *imm)
{
    if (!ir_is_constant(ins->b) || (ins->op == IR_ST64 && !is_displacement(as, ins->b)))
        return false;
    *imm = (int32_t)ir_constant_value(as->ir, ins->b);
    return true;
}

/* The value to store, without what a narrow store does not look at. */
ir_ref x86_stored(struct jit_assembler *as, const struct ir_ins *ins)
{
    const struct ir_ins narrow = {.type = ins->op == IR_ST64 ? IR_I64 : IR_I32};
    return x86_narrow(as, &narrow, ins->b);
}

void x86_store_imm(struct jit_assembler *as, unsigned op, struct x86_mem mem, int32_t imm)
{
    x86_rmi(as, stores[op - IR_ST8].op_imm, 0, mem, imm, stores[op - IR_ST8].size);
}

void x86_store_reg(struct jit_assembler *as, unsigned op, struct x86_mem mem, unsigned reg)
{
    x86_rm(as, stores[op - IR_ST8].op, reg, mem);
}

static void emit_store(struct jit_assembler *as, const struct ir_ins *ins)
{
    int32_t imm;
    settle_fault(as, ins);
    if (x86_store_immediate(as, ins, &imm)) {
        x86_store_imm(as, ins->op, x86_address(as, ins->a), imm);
    } else {
        unsigned rv = jit_use(as, x86_stored(as, ins), JIT_INTEGERS);
        x86_store_reg(as, ins->op, x86_address(as, ins->a), rv);
    }
    jit_done(as);
}

static void emit_store_fp(struct jit_assembler *as, const struct ir_ins *ins)
{
    settle_fault(as, ins);
    unsigned rv = jit_use(as, jit_unboxed(as, ins->b, ins->type), JIT_FPS);
    x86_sse_m(as, x86_move_fp(ins->type, true), rv, 0, x86_address(as, ins->a));
    jit_done(as);
}

/* ---- Atomics ---- */

static void lock(struct jit_assembler *as)
{
    x86_bytes(as, "\xf0", 1);
}

/* Where an atomic's operand is. Of paged memory, in a register that x86_emit_paged_address() fills. */
static struct x86_mem atomic_address(struct jit_assembler *as, ir_ref address, uint32_t allowed)
{
    struct x86_mem m = {.index = -1, .guest = !x86_looks_up(as)};
    unsigned reg = x86_looks_up(as) ? jit_temp(as, allowed & ~(as->wanted | JIT_REG(RAX)))
                                    : jit_use(as, address, allowed);
    m.base = (int8_t)reg;
    return m;
}

/* Ends an atomic operation. */
static void end_atomic(struct jit_assembler *as, const struct ir_ins *ins, struct x86_mem m)
{
    if (x86_looks_up(as))
        x86_emit_paged_address(as, ins, (unsigned)m.base);
    jit_done(as);
}

/* lock xadd, xchg (locked by itself): the register has the operand and gets the old value. */
static void emit_exchange(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    jit_settle_fault(as);
    unsigned r = jit_def(as, ref, JIT_INTEGERS & ~as->wanted);
    struct x86_mem m = x86_looks_up(as) ? atomic_address(as, ins->a, JIT_INTEGERS) : x86_address(as, ins->a);
    if (ins->op == IR_AADD) {
        x86_rm(as, X86(0, 1, 0xc1) | x86_width(ins), r, m);
        lock(as);
    } else {
        x86_rm(as, X86_XCHG | x86_width(ins), r, m);
    }
    jit_use_as(as, ins->b, r);
    end_atomic(as, ins, m);
}

/* IR_AADD, IR_AAND, IR_AOR, IR_AXOR as the host's instructions. */
static unsigned alu_of(unsigned op)
{
    return op == IR_AADD ? ALU_ADD : op == IR_AAND ? ALU_AND : op == IR_AOR ? ALU_OR : ALU_XOR;
}

static bool is_update(struct jit_assembler *as, ir_ref ref, unsigned op)
{
    return (op == IR_AADD || op == IR_AAND || op == IR_AOR || op == IR_AXOR) && jit_is_idle(as, ref);
}

/* The old value is not asked for: one instruction without a loop. */
static void emit_update(struct jit_assembler *as, const struct ir_ins *ins)
{
    jit_settle_fault(as);
    unsigned rv = jit_use(as, ins->b, JIT_INTEGERS);
    struct x86_mem m = x86_looks_up(as) ? atomic_address(as, ins->a, JIT_INTEGERS) : x86_address(as, ins->a);
    x86_rm(as, X86_ALU_STORE(alu_of(ins->op)) | x86_width(ins), rv, m);
    lock(as);
    end_atomic(as, ins, m);
}

/* What becomes of the old value in rax and the operand in `rv`, in rcx. */
static void combine(struct jit_assembler *as, const struct ir_ins *ins, unsigned rv)
{
    static const uint8_t keep[] = {[IR_AMIN - IR_AMIN] = X86_G,
                                   [IR_AMAX - IR_AMIN] = X86_L,
                                   [IR_AMINU - IR_AMIN] = X86_A,
                                   [IR_AMAXU - IR_AMIN] = X86_C};
    uint32_t width = x86_width(ins);
    if (ins->op >= IR_AMIN && ins->op <= IR_AMAXU) {
        x86_rr(as, X86(0, 1, 0x40u | keep[ins->op - IR_AMIN]) | width, RCX, rv);
        x86_rr(as, X86_ALU(ALU_CMP) | width, RCX, rv);
    } else {
        x86_rr(as, X86_ALU(alu_of(ins->op)) | width, RCX, rv);
    }
    x86_rr(as, X86_MOV | X86_W, RCX, RAX);
}

HOST_NO_TSAN bool jit_is_retried(const uint8_t *pc)
{
    static const uint8_t lock = 0xf0, gs = 0x65, rex = 0x40, cmpxchg[] = {0x0f, 0xb1};
    if (*pc++ != lock)
        return false;
    pc += *pc == gs;
    pc += (*pc & 0xf0) == rex;
    return pc[0] == cmpxchg[0] && pc[1] == cmpxchg[1];
}

/* A loop around lock cmpxchg, the jump back over a distance that is known when its bytes are. */
static void emit_compare_loop(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    const uint32_t rest = JIT_INTEGERS & ~JIT_REG(RAX) & ~JIT_REG(RCX);
    jit_settle_fault(as);
    jit_def(as, ref, JIT_REG(RAX));
    jit_clobber(as, JIT_REG(RCX));
    unsigned rv = jit_use(as, ins->b, rest);
    struct x86_mem m = atomic_address(as, ins->a, rest);
    uint8_t *end = as->hot;
    x86_bytes(as, "\x75\x00", 2); /* jne to the loop's start */
    uint8_t *distance = as->hot + 1;
    x86_rm(as, X86(0, 1, 0xb1) | x86_width(ins), RCX, m);
    lock(as);
    combine(as, ins, rv);
    if (as->left)
        *distance = (uint8_t)(as->hot - end);
    x86_rm(as, X86_MOV | x86_width(ins), RAX, m);
    end_atomic(as, ins, m);
}

static void emit_compare_exchange(struct jit_assembler *as, ir_ref ref, const struct ir_ins *ins)
{
    const struct ir_ins *values = ir_at(as->ir, ins->b);
    jit_settle_fault(as);
    jit_def(as, ref, JIT_REG(RAX));
    unsigned desired = jit_use(as, values->b, JIT_INTEGERS & ~JIT_REG(RAX));
    struct x86_mem m = atomic_address(as, ins->a, JIT_INTEGERS & ~JIT_REG(RAX));
    x86_rm(as, X86(0, 1, 0xb1) | x86_width(ins), desired, m);
    lock(as);
    jit_use_as(as, values->a, RAX);
    end_atomic(as, ins, m);
}

/* By way of a vector register. */
void x86_emit_zero(struct jit_assembler *as, struct x86_mem m, unsigned zero)
{
    enum { VECTOR = 16 };
    m.disp += IR_ZERO_BYTES;
    for (unsigned i = 0; i < IR_ZERO_BYTES; i += VECTOR) {
        m.disp -= VECTOR;
        x86_sse_m(as, X86(0, 1, 0x11), zero, 0, m); /* movups */
    }
    x86_sse(as, X86(0, 1, 0x57), zero, zero, zero); /* xorps */
}

static void emit_zero(struct jit_assembler *as, const struct ir_ins *ins)
{
    jit_settle_fault(as);
    struct x86_mem m = x86_address(as, ins->a);
    x86_emit_zero(as, m, jit_temp(as, JIT_FPS));
    jit_done(as);
}

/* lock or $0, (return stack): cheaper than mfence, and as strong for ordinary memory. */
static void emit_fence(struct jit_assembler *as)
{
    x86_bytes(as, "\xf0\x83\x0c\x24\x00", 5);
}

void x86_emit_memory(struct jit_assembler *as, ir_ref ref)
{
    const struct ir_ins *ins = ir_at(as->ir, ref);
    if (x86_looks_up(as) && x86_emit_paged(as, ref))
        return;
    if (is_update(as, ref, ins->op)) {
        emit_update(as, ins);
        return;
    }
    switch (ins->op) {
    case IR_LDF: emit_load_fp(as, ref, ins); break;
    case IR_ST8:
    case IR_ST16:
    case IR_ST32:
    case IR_ST64: emit_store(as, ins); break;
    case IR_STF: emit_store_fp(as, ins); break;
    case IR_ZERO: emit_zero(as, ins); break;
    case IR_FENCE: emit_fence(as); break;
    case IR_AXCHG:
    case IR_AADD: emit_exchange(as, ref, ins); break;
    case IR_ACAS: emit_compare_exchange(as, ref, ins); break;
    case IR_AAND:
    case IR_AOR:
    case IR_AXOR:
    case IR_AMIN:
    case IR_AMAX:
    case IR_AMINU:
    case IR_AMAXU: emit_compare_loop(as, ref, ins); break;
    default: emit_load(as, ref, ins); break;
    }
}
