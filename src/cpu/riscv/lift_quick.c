/* Quick units: the most frequent instructions, each as it is. */
#include "cpu/riscv/lift_row.h"

#include "base/util.h"
#include "cpu/riscv/extensions.h"

#include <string.h>

enum form {
    FORM_NONE, /* a unit with it is no quick one */
    FORM_NOTHING,
    FORM_UPPER,
    FORM_IMMEDIATE,
    FORM_BINARY,
    FORM_LOAD,
    FORM_STORE,
    FORM_BRANCH,
    FORM_JAL,
    FORM_JALR,
};

/* X(row, form, operation, type): as struct jit_quick_ins has them. */
#define QUICK_ROWS(X)             \
    X(LUI, UPPER, NOP, I64)       \
    X(AUIPC, UPPER, NOP, I64)     \
    X(JAL, JAL, NOP, I64)         \
    X(JALR, JALR, NOP, I64)       \
    X(BEQ, BRANCH, EQ, I64)       \
    X(BNE, BRANCH, NE, I64)       \
    X(BLT, BRANCH, LT, I64)       \
    X(BGE, BRANCH, GE, I64)       \
    X(BLTU, BRANCH, LTU, I64)     \
    X(BGEU, BRANCH, GEU, I64)     \
    X(LB, LOAD, LDS8, I64)        \
    X(LH, LOAD, LDS16, I64)       \
    X(LW, LOAD, LDS32, I64)       \
    X(LD, LOAD, LD64, I64)        \
    X(LBU, LOAD, LDU8, I64)       \
    X(LHU, LOAD, LDU16, I64)      \
    X(LWU, LOAD, LDU32, I64)      \
    X(SB, STORE, ST8, I64)        \
    X(SH, STORE, ST16, I64)       \
    X(SW, STORE, ST32, I64)       \
    X(SD, STORE, ST64, I64)       \
    X(ADDI, IMMEDIATE, ADD, I64)  \
    X(SLTI, IMMEDIATE, LT, I64)   \
    X(SLTIU, IMMEDIATE, LTU, I64) \
    X(XORI, IMMEDIATE, XOR, I64)  \
    X(ORI, IMMEDIATE, OR, I64)    \
    X(ANDI, IMMEDIATE, AND, I64)  \
    X(SLLI, IMMEDIATE, SHL, I64)  \
    X(SRLI, IMMEDIATE, SHR, I64)  \
    X(SRAI, IMMEDIATE, SAR, I64)  \
    X(ADDIW, IMMEDIATE, ADD, I32) \
    X(SLLIW, IMMEDIATE, SHL, I32) \
    X(SRLIW, IMMEDIATE, SHR, I32) \
    X(SRAIW, IMMEDIATE, SAR, I32) \
    X(ADD, BINARY, ADD, I64)      \
    X(SUB, BINARY, SUB, I64)      \
    X(MUL, BINARY, MUL, I64)      \
    X(AND, BINARY, AND, I64)      \
    X(OR, BINARY, OR, I64)        \
    X(XOR, BINARY, XOR, I64)      \
    X(SLL, BINARY, SHL, I64)      \
    X(SRL, BINARY, SHR, I64)      \
    X(SRA, BINARY, SAR, I64)      \
    X(SLT, BINARY, LT, I64)       \
    X(SLTU, BINARY, LTU, I64)     \
    X(ADDW, BINARY, ADD, I32)     \
    X(SUBW, BINARY, SUB, I32)     \
    X(MULW, BINARY, MUL, I32)     \
    X(SLLW, BINARY, SHL, I32)     \
    X(SRLW, BINARY, SHR, I32)     \
    X(SRAW, BINARY, SAR, I32)     \
    X(FENCE_TSO, NOTHING, NOP, I64)

static const struct {
    uint8_t form, op, type;
} rows[RV_OP_COUNT] = {
#define ROW(row, form, op, type) [RV_##row] = {FORM_##form, IR_##op, IR_##type},
    QUICK_ROWS(ROW)
#undef ROW
};

struct quick {
    struct lifter l;
    struct jit_quick_code *code;
    /* The register that the latest instruction made a constant, which an indirect jump may be meant for; 0: none. */
    unsigned constant_rd;
    uint64_t constant;
};

static struct jit_quick_ins *add(struct quick *q, enum jit_quick_kind kind)
{
    struct jit_quick_ins *ins = &q->code->ins[q->code->count++];
    *ins = (struct jit_quick_ins){
        .kind = (uint8_t)kind, .b = JIT_QUICK_NONE, .place = (int32_t)(q->l.pc - q->code->pc)};
    return ins;
}

static uint8_t slot_of(unsigned x)
{
    return x ? lift_x_slot[x] : JIT_QUICK_ZERO;
}

static void add_constant(struct quick *q, unsigned rd, uint64_t value)
{
    if (!rd)
        return;
    struct jit_quick_ins *ins = add(q, JIT_QUICK_CONSTANT);
    ins->to = lift_x_slot[rd];
    ins->number = (int64_t)value;
}

static void add_upper(struct quick *q, const struct rv_insn *insn)
{
    uint64_t value = (uint64_t)(int64_t)insn->imm;
    if (insn->op == RV_AUIPC)
        value += q->l.pc;
    add_constant(q, insn->rd, value);
    q->constant_rd = insn->rd;
    q->constant = value;
}

/* Of what follows lui or auipc on the same register. */
static bool knows(const struct quick *q, const struct rv_insn *insn)
{
    return q->constant_rd && insn->rs1 == q->constant_rd;
}

/* A constant in two instructions is one. */
static bool add_known(struct quick *q, const struct rv_insn *insn)
{
    if (!knows(q, insn) || insn->rd != insn->rs1 || (insn->op != RV_ADDI && insn->op != RV_ADDIW))
        return false;
    uint64_t value = q->constant + (uint64_t)(int64_t)insn->imm;
    q->code->count--;
    add_constant(q, insn->rd, insn->op == RV_ADDI ? value : (uint64_t)(int64_t)(int32_t)value);
    return true;
}

/* Its second operand is the number 0 as yet. */
static struct jit_quick_ins *add_compute(struct quick *q, const struct rv_insn *insn)
{
    struct jit_quick_ins *ins = add(q, JIT_QUICK_COMPUTE);
    ins->op = rows[insn->op].op;
    ins->type = rows[insn->op].type;
    ins->to = lift_x_slot[insn->rd];
    ins->a = slot_of(insn->rs1);
    return ins;
}

static void add_immediate(struct quick *q, const struct rv_insn *insn)
{
    if (!insn->rd || add_known(q, insn))
        return;
    if (insn->op == RV_ADDI && !insn->rs1) {
        add_constant(q, insn->rd, (uint64_t)(int64_t)insn->imm);
        return;
    }
    add_compute(q, insn)->number = insn->imm;
}

static void add_binary(struct quick *q, const struct rv_insn *insn)
{
    if (!insn->rd)
        return;
    struct jit_quick_ins *ins = add_compute(q, insn);
    ins->b = slot_of(insn->rs2);
    if (ins->op == IR_ADD && (!insn->rs1 || !insn->rs2)) { /* c.mv is one */
        ins->a = slot_of(insn->rs1 | insn->rs2);
        ins->b = JIT_QUICK_NONE;
    }
}

static void add_access(struct quick *q, const struct rv_insn *insn)
{
    bool store = rows[insn->op].form == FORM_STORE;
    struct jit_quick_ins *ins = add(q, store ? JIT_QUICK_STORE : JIT_QUICK_LOAD);
    ins->op = rows[insn->op].op;
    ins->a = slot_of(insn->rs1);
    ins->number = insn->imm;
    if (store)
        ins->b = slot_of(insn->rs2);
    else
        ins->to = insn->rd ? lift_x_slot[insn->rd] : JIT_QUICK_NONE;
}

static void add_branch(struct quick *q, const struct rv_insn *insn)
{
    struct jit_quick_ins *ins = add(q, JIT_QUICK_BRANCH);
    ins->op = rows[insn->op].op;
    ins->a = slot_of(insn->rs1);
    ins->b = slot_of(insn->rs2);
    ins->number = (int64_t)(q->l.pc + (uint64_t)(int64_t)insn->imm);
}

static void leave(struct quick *q, struct ir_exit exit)
{
    q->code->exit = exit;
    q->l.ended = true;
}

/* `rd` gets the address of what follows. */
static void jump(struct quick *q, unsigned rd, uint64_t target)
{
    if (!rd && lift_follows(&q->l, target))
        return;
    add_constant(q, rd, q->l.next);
    if (rd == LIFT_RA)
        leave(q,
              (struct ir_exit){
                  .kind = IR_EXIT_CALL, .pc = target, .return_pc = q->l.next, .check = lift_x_slot[LIFT_RA]});
    else
        leave(q, (struct ir_exit){.kind = IR_EXIT_GO, .pc = target});
}

static void add_jalr(struct quick *q, const struct rv_insn *insn)
{
    if (knows(q, insn)) {
        jump(q, insn->rd, (q->constant + (uint64_t)(int64_t)insn->imm) & ~UINT64_C(1));
        return;
    }
    struct ir_exit exit = {.kind = IR_EXIT_INDIRECT, .return_pc = q->l.next, .check = lift_x_slot[LIFT_RA]};
    if (!insn->rd && insn->rs1 == LIFT_RA && !insn->imm)
        exit.kind = IR_EXIT_RETURN;
    else if (insn->rd == LIFT_RA)
        exit.kind = IR_EXIT_INDIRECT_CALL;
    q->code->target = slot_of(insn->rs1);
    q->code->target_offset = insn->imm;
    q->code->link = insn->rd ? lift_x_slot[insn->rd] : JIT_QUICK_NONE;
    leave(q, exit);
}

static bool add_insn(struct quick *q, const struct rv_insn *insn)
{
    unsigned known = q->constant_rd;
    switch ((enum form)rows[insn->op].form) {
    case FORM_NONE: return false;
    case FORM_NOTHING: break;
    case FORM_UPPER: add_upper(q, insn); return true;
    case FORM_IMMEDIATE: add_immediate(q, insn); break;
    case FORM_BINARY: add_binary(q, insn); break;
    case FORM_LOAD:
    case FORM_STORE: add_access(q, insn); break;
    case FORM_BRANCH: add_branch(q, insn); break;
    case FORM_JAL: jump(q, insn->rd, q->l.pc + (uint64_t)(int64_t)insn->imm); break;
    case FORM_JALR: add_jalr(q, insn); break;
    }
    if (known)
        q->constant_rd = 0;
    return true;
}

static bool lift_insn(struct quick *q)
{
    struct lifter *l = &q->l;
    struct rv_insn insn;
    uint32_t word;
    unsigned there = lift_next_word(l, &word), length = (word & 3) == 3 ? 4 : 2;
    if (there < length || !rv_decode(word, &insn) || (l->missing && extension_is_missing(&insn, l->missing)))
        return false;
    l->next = l->pc + length;
    lift_record(l, word, length);
    if (!add_insn(q, &insn))
        return false;
    l->pc = l->next;
    return true;
}

bool lift_quick(struct jit_quick_code *code, const struct lift_source *source,
                const struct lift_limits *limits, uint64_t pc, struct lift_result *result)
{
    uint8_t window[LIFT_AHEAD_ROOM];
    struct quick q = {.l = {.source = source,
                            .limits = limits,
                            .result = result,
                            .missing = extensions_missing(limits->extensions),
                            .start = pc,
                            .pc = pc,
                            .window = window},
                      .code = code};
    code->pc = pc;
    code->count = 0;
    code->reason = LIFT_ENTERED;
    result->insns = result->piece_count = result->byte_count = 0;
    lift_begin_piece(&q.l, pc);
    while (!q.l.ended) {
        result->cut = result->insns == MIN(limits->max_insns, JIT_QUICK_MAX - 1u) || q.l.pc >= q.l.bound ||
                      lift_is_known(&q.l);
        if (result->cut)
            leave(&q, (struct ir_exit){.kind = IR_EXIT_GO, .pc = q.l.pc});
        else if (!lift_insn(&q))
            return false;
    }
    if (!q.l.piece->bytes) /* it was left where it began */
        result->piece_count--;
    return true;
}
