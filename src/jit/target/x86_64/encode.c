#include "jit/target/x86_64/encode.h"

/* An instruction in the making: the bytes up to ModRM and SIB, displacement and immediate behind them. In registers, since bytes
 * that are stored one by one and then copied at once make the copy wait for the stores. */
static inline void add(struct jit_code *b, unsigned byte)
{
    b->head |= (uint64_t)(uint8_t)byte << 8 * b->head_size++;
}

/* Displacement, immediate: 1, 2 or 4 bytes. */
static inline void add_tail(struct jit_code *b, uint32_t value, unsigned size)
{
    b->tail |= (uint64_t)(value & (UINT32_MAX >> (32 - 8 * size))) << 8 * b->tail_size;
    b->tail_size += size;
}

/* Prefixes, REX and the opcode's bytes; register numbers' fourth bits go into REX. */
static void add_opcode(struct jit_code *b, uint32_t op, unsigned reg, unsigned index, unsigned base,
                       bool byte_register)
{
    unsigned prefix = op >> 16 & 0xff, map = op >> 8 & 0xff;
    unsigned rex = (op & X86_W ? 8u : 0) | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (base >> 3 & 1);
    if (prefix)
        add(b, prefix);
    if (rex || byte_register)
        add(b, 0x40 | rex);
    if (map)
        add(b, 0x0f);
    if (map > 1)
        add(b, map == 2 ? 0x38 : 0x3a);
    add(b, op & 0xff);
}

static void add_vex(struct jit_code *b, uint32_t op, unsigned reg, unsigned index, unsigned base,
                    unsigned second)
{
    unsigned prefix = op >> 16 & 0xff, map = op >> 8 & 0xff;
    unsigned pp = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;
    unsigned r = ~reg >> 3 & 1, x = ~index >> 3 & 1, bb = ~base >> 3 & 1, v = ~second & 15;
    if (map == 1 && x && bb && !(op & X86_W)) {
        add(b, 0xc5);
        add(b, r << 7 | v << 3 | pp);
    } else {
        add(b, 0xc4);
        add(b, r << 7 | x << 6 | bb << 5 | map);
        add(b, (op & X86_W ? 0x80u : 0) | v << 3 | pp);
    }
    add(b, op & 0xff);
}

static void add_modrm(struct jit_code *b, unsigned mod, unsigned reg, unsigned rm)
{
    add(b, mod << 6 | (reg & 7) << 3 | (rm & 7));
}

/* ModRM, SIB and displacement. `after`: bytes of the instruction that follow. */
static void add_memory(struct jit_assembler *as, struct jit_code *b, unsigned reg, struct x86_mem m,
                       unsigned after)
{
    const unsigned sib = 4, none = 5;
    if (m.target) {
        add_modrm(b, 0, reg, none);
        unsigned size = b->head_size + 4 + after;
        const uint8_t *end = jit_here(as) + (as->in_cold ? size : 0);
        add_tail(b, (uint32_t)((const uint8_t *)m.target - end), 4);
        return;
    }
    if (m.base < 0) {
        add_modrm(b, 0, reg, sib);
        add_modrm(b, m.scale, m.index < 0 ? sib : (unsigned)m.index, none);
        add_tail(b, (uint32_t)m.disp, 4);
        return;
    }
    unsigned base = (unsigned)m.base & 7;
    unsigned mod = m.disp == 0 && base != none ? 0 : m.disp == (int8_t)m.disp ? 1 : 2;
    if (m.index >= 0 || base == sib) {
        add_modrm(b, mod, reg, sib);
        add_modrm(b, m.scale, m.index < 0 ? sib : (unsigned)m.index, base);
    } else {
        add_modrm(b, mod, reg, base);
    }
    if (mod)
        add_tail(b, (uint32_t)m.disp, mod == 1 ? 1 : 4);
}

static void add_immediate(struct jit_code *b, int32_t imm, unsigned size)
{
    if (size)
        add_tail(b, (uint32_t)imm, size);
}

static bool wants_rex(uint32_t op, unsigned reg)
{
    return op & X86_B && reg >= RSP && reg < JIT_FP;
}

static unsigned high(int8_t reg)
{
    return reg < 0 ? 0 : (unsigned)reg;
}

void x86_rri(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned rm, int32_t imm, unsigned size)
{
    struct jit_code b = {0};
    add_opcode(&b, op, reg, 0, rm, wants_rex(op, reg) || wants_rex(op, rm));
    add_modrm(&b, 3, reg, rm);
    add_immediate(&b, imm, size);
    jit_put(as, &b);
}

void x86_rr(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned rm)
{
    x86_rri(as, op, reg, rm, 0, 0);
}

static void add_segment(struct jit_assembler *as, struct jit_code *b, struct x86_mem mem)
{
    if (mem.guest && as->machine->memory_base)
        add(b, 0x65);
}

void x86_rmi(struct jit_assembler *as, uint32_t op, unsigned reg, struct x86_mem mem, int32_t imm,
             unsigned size)
{
    struct jit_code b = {0};
    add_segment(as, &b, mem);
    add_opcode(&b, op, reg, high(mem.index), high(mem.base), wants_rex(op, reg));
    add_memory(as, &b, reg, mem, size);
    add_immediate(&b, imm, size);
    jit_put(as, &b);
}

void x86_rm(struct jit_assembler *as, uint32_t op, unsigned reg, struct x86_mem mem)
{
    x86_rmi(as, op, reg, mem, 0, 0);
}

void x86_vex(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, unsigned rm)
{
    struct jit_code b = {0};
    add_vex(&b, op, reg, 0, rm, second);
    add_modrm(&b, 3, reg, rm);
    jit_put(as, &b);
}

void x86_vex_m(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, struct x86_mem mem)
{
    struct jit_code b = {0};
    add_segment(as, &b, mem);
    add_vex(&b, op, reg, high(mem.index), high(mem.base), second);
    add_memory(as, &b, reg, mem, 0);
    jit_put(as, &b);
}

void x86_sse(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, unsigned rm)
{
    if (x86_has(as, X86_AVX))
        x86_vex(as, op, reg, second, rm);
    else
        x86_rr(as, op, reg, rm);
}

void x86_sse_m(struct jit_assembler *as, uint32_t op, unsigned reg, unsigned second, struct x86_mem mem)
{
    if (x86_has(as, X86_AVX))
        x86_vex_m(as, op, reg, second, mem);
    else
        x86_rm(as, op, reg, mem);
}

void x86_bytes(struct jit_assembler *as, const char *bytes, unsigned size)
{
    jit_put_bytes(as, bytes, size);
}

void x86_mov_imm(struct jit_assembler *as, unsigned reg, int64_t value)
{
    struct jit_code b = {0};
    if (value >= 0 && value <= UINT32_MAX) {
        if (reg >= R8)
            add(&b, 0x41);
        add(&b, 0xb8 | (reg & 7));
        add_tail(&b, (uint32_t)value, 4);
    } else if (x86_fits32(value)) {
        add(&b, 0x48 | reg >> 3);
        add(&b, 0xc7);
        add_modrm(&b, 3, 0, reg);
        add_tail(&b, (uint32_t)value, 4);
    } else {
        add(&b, 0x48 | reg >> 3);
        add(&b, 0xb8 | (reg & 7));
        add_tail(&b, (uint32_t)value, 4);
        add_tail(&b, (uint32_t)((uint64_t)value >> 32), 4);
    }
    jit_put(as, &b);
}

/* ---- Jumps ---- */

static void put_relative(struct jit_assembler *as, struct jit_code *b, const void *target)
{
    const uint8_t *end = jit_here(as) + (as->in_cold ? b->head_size + 4 : 0);
    add_tail(b, (uint32_t)((const uint8_t *)target - end), 4);
    jit_put(as, b);
}

static void jump(struct jit_assembler *as, unsigned opcode, const void *target)
{
    struct jit_code b = {0};
    if (opcode > 0xff)
        add(&b, opcode >> 8);
    add(&b, opcode);
    put_relative(as, &b, target);
}

enum { JMP = 0xe9, CALL = 0xe8, JCC = 0x0f80 };

void x86_jmp(struct jit_assembler *as, const void *target)
{
    jump(as, JMP, target);
}

void x86_jcc(struct jit_assembler *as, enum x86_condition condition, const void *target)
{
    jump(as, JCC | condition, target);
}

void x86_call(struct jit_assembler *as, const void *target)
{
    jump(as, CALL, target);
}

/* An access of 4 bytes within 8 aligned ones is atomic on every x86-64. */
static uint8_t *jump_site(struct jit_assembler *as, unsigned opcode, const void *target)
{
    const unsigned field = 4, unit = 8;
    unsigned before = opcode > 0xff ? 2 : 1;
    uintptr_t at = (uintptr_t)jit_here(as) + (as->in_cold ? before : (uintptr_t)0 - field);
    unsigned over =
        at % unit > unit - field ? (unsigned)(as->in_cold ? unit - at % unit : at % unit - field) : 0;
    if (over)
        x86_nop(as, over);
    jump(as, opcode, target);
    return (uint8_t *)jit_here(as) + (as->in_cold ? -(int)field : (int)before);
}

uint8_t *x86_jmp_site(struct jit_assembler *as, const void *target)
{
    return jump_site(as, JMP, target);
}

uint8_t *x86_jcc_site(struct jit_assembler *as, enum x86_condition condition, const void *target)
{
    return jump_site(as, JCC | condition, target);
}

uint8_t *x86_call_site(struct jit_assembler *as, const void *target)
{
    return jump_site(as, CALL, target);
}

void x86_nop(struct jit_assembler *as, unsigned size)
{
    static const char *const nops[] = {"", "\x90", "\x66\x90", "\x0f\x1f\x00"};
    x86_bytes(as, nops[size], size);
}
