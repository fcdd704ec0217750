/* The program that executes the cases (cases.h) in machine mode, records the machine after each, and sends the
 * records over the UART. It never trusts a register but its own: s0 next case, s1 next record, s2 and s3 the places
 * for instructions of machine mode and of others, s4 cases left. */
#include "layout.h"

#define MPRV 0x20000
#define MIE  0x8
#define MPP  0x1800
#define ADUE (1 << 61)

        .option norvc
        .option norelax
        .globl  _start
_start: li      t0, DRIVER
        jr      t0

        .org    DRIVER - RAM
        csrr    t0, mhartid
park:   bnez    t0, park
        li      s0, CASES
        ld      s4, (s0)
        addi    s0, s0, CASE_SIZE
        li      s1, LOG
        lla     s2, machine_slot
        lla     s3, lower_slot
        li      a2, 0                   # the one register that QEMU's reset leaves and nothing here sets
        call    fill_data
        li      t1, MTIMECMP            # no timer interrupt of machine mode
        li      t0, -1
        sd      t0, (t1)
        li      t0, -1                  # the last PMP entry opens everything to the lower modes
        csrw    pmpaddr15, t0
        li      t0, 0x1f << 56
        csrw    pmpcfg2, t0
        csrw    menvcfg, zero

next:   beqz    s4, send
        lw      t0, 0(s0)
        sw      t0, (s2)
        sw      t0, (s3)
        fence.i
        sfence.vma
        lla     t0, vectors + 1
        csrw    mtvec, t0
        li      t0, ADUE
        csrs    menvcfg, t0
        li      t2, 0
        ld      t0, 40(s0)
        csrc    mstatus, t0
        lw      t3, 4(s0)
        ld      t1, 32(s0)
        csrr    t0, mstatus
        or      t0, t0, t1
        ld      t4, 24(s0)
        ld      a0, 8(s0)
        ld      a1, 16(s0)
        li      t5, 3
        beq     t3, t5, machine
        bnez    t4, 1f
        mv      t4, s3
1:      li      t5, MPP
        not     t5, t5
        and     t0, t0, t5
        slli    t3, t3, 11
        or      t0, t0, t3
        csrw    mepc, t4
        csrw    mstatus, t0
        mret
machine:
        bnez    t4, 1f
        mv      t4, s2
1:      csrw    mstatus, t0
        jr      t4

machine_slot:
        nop
        csrr    t0, mstatus
        li      t1, 0
        j       record
lower_slot:
        nop
        ecall

        .balign 256
vectors:
        .rept   64
        jal     t2, trapped
        .endr
trapped:
        csrr    t0, mstatus
        li      t1, 1

record: li      t3, MPRV | MIE
        csrc    mstatus, t3
        lla     t3, vectors
        beqz    t2, 1f
        sub     t2, t2, t3
1:      sd      t1, 0(s1)
        sd      t2, 8(s1)
        sd      a0, 16(s1)
        sd      a1, 24(s1)
        sd      t0, 32(s1)
        addi    s1, s1, 40
        .irp    name, mcause, mepc, mtval, medeleg, mideleg, mie, mip, mtvec, mscratch, mcounteren, mcountinhibit
        csrr    t0, \name
        sd      t0, (s1)
        addi    s1, s1, 8
        .endr
        .irp    name, menvcfg, stvec, sscratch, sepc, scause, stval, scounteren, senvcfg, satp, pmpcfg0, pmpcfg2
        csrr    t0, \name
        sd      t0, (s1)
        addi    s1, s1, 8
        .endr
        addi    s0, s0, CASE_SIZE
        addi    s4, s4, -1
        j       next

/* The records leave. */
send:   li      t0, LOG
        li      t1, UART
1:      beq     t0, s1, quit
2:      lbu     t2, UART_LSR(t1)
        andi    t2, t2, UART_READY
        beqz    t2, 2b
        lbu     t2, (t0)
        sb      t2, (t1)
        addi    t0, t0, 1
        j       1b
quit:   li      t0, EXIT_DEVICE
        li      t1, EXIT_PASS
        sw      t1, (t0)
        j       .

/* The number in each second word tells where it is, and is no instruction. */
fill_data:
        li      t0, DATA
        li      t1, DATA + DATA_SIZE
        li      t2, ECALL
1:      sw      t2, 0(t0)
        slli    t3, t0, 13
        srli    t3, t3, 16
        slli    t3, t3, 16
        sw      t3, 4(t0)
        addi    t0, t0, 8
        bne     t0, t1, 1b
        ret
