/* Where things are on the bare machine, for C and for the assembler: the addresses of QEMU's `virt` machine.
 *
 * Threads, lifetime: constants. */
#ifndef SYS_LAYOUT_H
#define SYS_LAYOUT_H

#define EXIT_DEVICE 0x00100000 /* sifive_test: EXIT_PASS written there ends the machine */
#define EXIT_PASS   0x5555
#define MTIMECMP    0x02004000 /* of hart 0 */
#define UART        0x10000000 /* 16550: transmit register; line status at 5 */
#define UART_LSR    5
#define UART_READY  0x20

#define IMSIC_M     0x24000000 /* of hart 0, if the machine has them: message to machine level ... */
#define IMSIC_S     0x28000000 /* ... and to supervisor level */

#define RAM         0x80000000 /* a jump to the driver */
#define RAM_SIZE    0x08000000
#define TABLES      0x80010000 /* page tables, a page each */
#define TABLE_COUNT 8
#define EMPTY_TABLE 0x80100000
#define DATA        0x80020000 /* pages of ecall, number, ecall, number, ... */
#define DATA_SIZE   0x10000

/* What the driver needs lies where no page that cases.c makes leads, at any level. */
#define DRIVER    0x80440000
#define CASES     0x80450000 /* struct sys_case[]: a header of one with the count, and the cases */
#define CASE_SIZE 64
#define LOG       0x80640000 /* struct sys_record[] */

#define ECALL     0x00000073

#endif
