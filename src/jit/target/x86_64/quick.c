/* Quick translation: host instructions of code on slots. rax and rcx are free between operations. */
#include "jit/quick.h"
#include "jit/target/x86_64/emit.h"

/* ---- Slots as operands ---- */

/* The slot's register, or JIT_NO_REG. Of NONE and ZERO, which are no slots, none. */
static unsigned pin_of(const struct jit_assembler *as, unsigned slot)
{
    return slot < as->machine->ir.pin_count ? as->slot_pin[slot] : JIT_NO_REG;
}

/* The register that the slot is read from: its own, or `scratch`, which bring() fills. */
static unsigned reader_of(const struct jit_assembler *as, unsigned slot, unsigned scratch)
{
    unsigned pin = pin_of(as, slot);
    return pin != JIT_NO_REG ? pin : scratch;
}

static int32_t offset_of(const struct jit_assembler *as, unsigned slot)
{
    return as->machine->ir.slots[slot].offset;
}

/* The slot's value comes to the register, above what reads it there. */
static void bring(struct jit_assembler *as, unsigned reg, unsigned slot)
{
    unsigned pin = pin_of(as, slot);
    if (pin == reg)
        return;
    if (slot == JIT_QUICK_ZERO)
        x86_mov_imm(as, reg, 0);
    else if (pin == JIT_NO_REG)
        x86_mov_state(as, X86_MOV, reg, offset_of(as, slot));
    else
        x86_rr(as, X86_MOV | X86_W, reg, pin);
}

/* As x86_rr() or x86_rm(), with the slot as second operand: below, `scratch` is free. */
static void with_slot(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned slot, unsigned scratch)
{
    unsigned pin = pin_of(as, slot);
    if (slot == JIT_QUICK_ZERO) {
        x86_rr(as, op, reg, scratch);
        x86_mov_imm(as, scratch, 0);
    } else if (pin == JIT_NO_REG) {
        x86_rm(as, op, reg, X86_STATE(offset_of(as, slot)));
    } else {
        x86_rr(as, op, reg, pin);
    }
}

/* The register where a result is made: the slot's own if it may be overwritten before all operands are read. finish() brings it
 * home. */
static unsigned maker_of(const struct jit_assembler *as, unsigned slot, bool early)
{
    unsigned pin = pin_of(as, slot);
    return early && pin != JIT_NO_REG ? pin : RAX;
}

static void finish(struct jit_assembler *as, unsigned slot, unsigned reg)
{
    unsigned pin = pin_of(as, slot);
    if (slot == JIT_QUICK_NONE || pin == reg)
        return;
    if (pin == JIT_NO_REG)
        x86_mov_state(as, X86_MOV_STORE, reg, offset_of(as, slot));
    else
        x86_rr(as, X86_MOV | X86_W, pin, reg);
}

/* ---- To compute ---- */

static bool has_number(const struct jit_quick_ins *ins)
{
    return ins->b == JIT_QUICK_NONE;
}

static bool swaps(unsigned op)
{
    return op == IR_ADD || op == IR_MUL || op == IR_AND || op == IR_OR || op == IR_XOR;
}

static unsigned alu_of(unsigned op)
{
    static const uint8_t alu[] = {[IR_ADD - IR_ADD] = ALU_ADD,
                                  [IR_SUB - IR_ADD] = ALU_SUB,
                                  [IR_AND - IR_ADD] = ALU_AND,
                                  [IR_OR - IR_ADD] = ALU_OR,
                                  [IR_XOR - IR_ADD] = ALU_XOR};
    return alu[op - IR_ADD];
}

static unsigned shift_of(unsigned op)
{
    return op == IR_SHL ? 4 : op == IR_SHR ? 5 : 7;
}

/* A sum that is made elsewhere than where its first operand is: one instruction where a copy would be another. Of 32 bits, the low
 * half is it. */
static bool emit_lea(struct jit_assembler *as, const struct jit_quick_ins *ins, unsigned to)
{
    unsigned a = pin_of(as, ins->a), b = pin_of(as, ins->b);
    if (ins->op != IR_ADD || a == JIT_NO_REG || a == to || (has_number(ins) ? !ins->number : b == JIT_NO_REG))
        return false;
    struct x86_mem m = {.base = (int8_t)a, .index = -1};
    if (has_number(ins))
        m.disp = (int32_t)ins->number;
    else
        m.index = (int8_t)b;
    x86_rm(as, X86_LEA | (ins->type == IR_I64 ? X86_W : 0), to, m);
    return true;
}

/* to = to `op` b */
static void emit_second(struct jit_assembler *as, const struct jit_quick_ins *ins, unsigned to)
{
    uint32_t width = ins->type == IR_I64 ? X86_W : 0;
    int32_t number = (int32_t)ins->number;
    switch (ins->op) {
    case IR_SHL:
    case IR_SHR:
    case IR_SAR:
        if (has_number(ins)) {
            x86_rri(as, X86(0, 0, 0xc1) | width, shift_of(ins->op), to, number, 1);
        } else {
            x86_rr(as, X86(0, 0, 0xd3) | width, shift_of(ins->op), to);
            bring(as, RCX, ins->b);
        }
        break;
    case IR_MUL: with_slot(as, X86(0, 1, 0xaf) | width, to, ins->b, RCX); break;
    default:
        if (!has_number(ins))
            with_slot(as, X86_ALU(alu_of(ins->op)) | width, to, ins->b, RCX);
        else if (number || ins->op == IR_AND)
            x86_alu_imm(as, alu_of(ins->op), width, to, number);
    }
}

static void emit_arithmetic(struct jit_assembler *as, struct jit_quick_ins ins)
{
    if (!has_number(&ins) && ins.to == ins.b && swaps(ins.op)) {
        ins.b = ins.a;
        ins.a = ins.to;
    }
    const uint32_t movsxd = X86(0, 0, 0x63) | X86_W;
    unsigned to = maker_of(as, ins.to, ins.to != ins.b || ins.to == ins.a);
    finish(as, ins.to, to);
    if (ins.type == IR_I32 && ins.op == IR_ADD && has_number(&ins) && !ins.number) {
        with_slot(as, movsxd, to, ins.a, RCX);
        return;
    }
    if (ins.type == IR_I32)
        x86_rr(as, movsxd, to, to);
    if (emit_lea(as, &ins, to))
        return;
    emit_second(as, &ins, to);
    bring(as, to, ins.a);
}

/* cmp a, b */
static void emit_compare(struct jit_assembler *as, const struct jit_quick_ins *ins, bool zero)
{
    unsigned a = pin_of(as, ins->a);
    int32_t number = has_number(ins) ? (int32_t)ins->number : 0;
    if (!zero && !has_number(ins)) {
        a = reader_of(as, ins->a, RAX);
        with_slot(as, X86_ALU(ALU_CMP) | X86_W, a, ins->b, RCX);
        bring(as, a, ins->a);
    } else if (ins->a == JIT_QUICK_ZERO) {
        x86_alu_imm(as, ALU_CMP, X86_W, RAX, number);
        bring(as, RAX, ins->a);
    } else if (a == JIT_NO_REG) {
        x86_alu_imm_m(as, ALU_CMP, X86_W, X86_STATE(offset_of(as, ins->a)), number);
    } else if (number) {
        x86_alu_imm(as, ALU_CMP, X86_W, a, number);
    } else {
        x86_rr(as, X86_TEST | X86_W, a, a);
    }
}

/* to = a < b */
static void emit_less(struct jit_assembler *as, const struct jit_quick_ins *ins)
{
    unsigned condition = ins->op == IR_LT ? X86_L : X86_C;
    unsigned to = maker_of(as, ins->to, true);
    finish(as, ins->to, to);
    x86_rr(as, X86(0, 1, 0xb6), to, RAX);             /* movzx to, al */
    x86_rr(as, X86(0, 1, 0x90u | condition), 0, RAX); /* setcc al */
    emit_compare(as, ins, ins->b == JIT_QUICK_ZERO);
}

/* ---- Memory ---- */

static struct x86_mem memory_at(const struct jit_assembler *as, const struct jit_quick_ins *ins)
{
    return (struct x86_mem){
        .base = (int8_t)reader_of(as, ins->a, RAX), .index = -1, .guest = true, .disp = (int32_t)ins->number};
}

static void emit_load(struct jit_assembler *as, const struct jit_quick_ins *ins)
{
    unsigned to = maker_of(as, ins->to, true);
    struct x86_mem m = memory_at(as, ins);
    finish(as, ins->to, to);
    x86_rm(as, x86_load_opcode(ins->op), to, m);
    bring(as, (unsigned)m.base, ins->a);
}

static void emit_store(struct jit_assembler *as, const struct jit_quick_ins *ins)
{
    struct x86_mem m = memory_at(as, ins);
    if (ins->b == JIT_QUICK_ZERO) {
        x86_store_imm(as, ins->op, m, 0);
    } else {
        unsigned value = reader_of(as, ins->b, RCX);
        x86_store_reg(as, ins->op, m, value);
        bring(as, value, ins->b);
    }
    bring(as, (unsigned)m.base, ins->a);
}

/* ---- Ways out ---- */

/* The condition after cmp a, b; `swapped`: after cmp b, a. */
static enum x86_condition condition_of(unsigned op, bool swapped)
{
    static const uint8_t conditions[][2] = {
        [IR_EQ - IR_EQ] = {X86_E, X86_E},  [IR_NE - IR_EQ] = {X86_NE, X86_NE},
        [IR_LT - IR_EQ] = {X86_L, X86_G},  [IR_GE - IR_EQ] = {X86_GE, X86_LE},
        [IR_LTU - IR_EQ] = {X86_C, X86_A}, [IR_GEU - IR_EQ] = {X86_NC, X86_BE},
    };
    return (enum x86_condition)conditions[op - IR_EQ][swapped];
}

/* Zero is compared with as the second operand. */
static void emit_branch(struct jit_assembler *as, struct jit_quick_ins ins)
{
    bool swapped = ins.a == JIT_QUICK_ZERO;
    if (swapped) {
        ins.a = ins.b;
        ins.b = JIT_QUICK_ZERO;
    }
    x86_side_exit(as, condition_of(ins.op, swapped), (uint64_t)ins.number);
    emit_compare(as, &ins, ins.b == JIT_QUICK_ZERO);
}

void x86_quick_end(struct jit_assembler *as, const struct jit_quick_code *code)
{
    x86_emit_way_out(as, &code->exit);
    if (!x86_exit_computes(as, &code->exit))
        return;
    if (code->link != JIT_QUICK_NONE)
        x86_quick_ins(as, &(struct jit_quick_ins){.kind = JIT_QUICK_CONSTANT,
                                                  .to = code->link,
                                                  .number = (int64_t)code->exit.return_pc});
    x86_quick_ins(as, &(struct jit_quick_ins){.kind = JIT_QUICK_COMPUTE,
                                              .op = IR_ADD,
                                              .type = IR_I64,
                                              .to = JIT_QUICK_NONE,
                                              .a = code->target,
                                              .b = JIT_QUICK_NONE,
                                              .number = code->target_offset});
}

void x86_quick_begin(struct jit_assembler *as, const struct jit_quick_code *code)
{
    size_t counter = offsetof(struct jit_state, entries) + jit_entry_counter(code->pc) * sizeof(int32_t);
    const struct ir_exit often = {.kind = IR_EXIT_STOP, .pc = code->pc, .reason = code->reason};
    x86_jcc(as, X86_S, x86_stop_stub(as, &often));
    x86_alu_imm_m(as, ALU_SUB, 0, X86_STATE(x86_state_offset(as, counter)), 1);
}

void x86_quick_ins(struct jit_assembler *as, const struct jit_quick_ins *ins)
{
    switch ((enum jit_quick_kind)ins->kind) {
    case JIT_QUICK_CONSTANT:
        if (pin_of(as, ins->to) == JIT_NO_REG)
            as->target->store_constant(as, ins->number, offset_of(as, ins->to));
        else
            x86_mov_imm(as, pin_of(as, ins->to), ins->number);
        break;
    case JIT_QUICK_COMPUTE:
        if (ins->op == IR_LT || ins->op == IR_LTU)
            emit_less(as, ins);
        else
            emit_arithmetic(as, *ins);
        break;
    case JIT_QUICK_LOAD: emit_load(as, ins); break;
    case JIT_QUICK_STORE: emit_store(as, ins); break;
    case JIT_QUICK_BRANCH: emit_branch(as, *ins); break;
    }
}
