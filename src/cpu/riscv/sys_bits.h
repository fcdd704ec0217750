/* Fields of the privileged CSRs, causes of traps, and privilege modes of RV64.
 *
 * Threads, lifetime: constants.
 * Source: The RISC-V Instruction Set Manual, volume II, version 1.13: "Machine-Level ISA", "Supervisor-Level ISA",
 * and the extensions that a line names. */
#ifndef CPU_RISCV_SYS_BITS_H
#define CPU_RISCV_SYS_BITS_H

#include <stdint.h>

#define BIT(n) (UINT64_C(1) << (n))

enum priv {
    PRIV_U = 0,
    PRIV_S = 1,
    PRIV_M = 3,
};

/* mstatus and sstatus */
#define MSTATUS_SIE       BIT(1)
#define MSTATUS_MIE       BIT(3)
#define MSTATUS_SPIE      BIT(5)
#define MSTATUS_MPIE      BIT(7)
#define MSTATUS_SPP       BIT(8)
#define MSTATUS_VS        (BIT(9) | BIT(10))
#define MSTATUS_MPP       (BIT(11) | BIT(12))
#define MSTATUS_FS        (BIT(13) | BIT(14))
#define MSTATUS_XS        (BIT(15) | BIT(16))
#define MSTATUS_MPRV      BIT(17)
#define MSTATUS_SUM       BIT(18)
#define MSTATUS_MXR       BIT(19)
#define MSTATUS_TVM       BIT(20)
#define MSTATUS_TW        BIT(21)
#define MSTATUS_TSR       BIT(22)
#define MSTATUS_UXL_64    (UINT64_C(2) << 32)
#define MSTATUS_SXL_64    (UINT64_C(2) << 34)
#define MSTATUS_SD        BIT(63)
#define MSTATUS_MPP_SHIFT 11

/* mip, mie, mideleg and the supervisor's views of them; the number is the cause as well */
enum {
    IRQ_SSI = 1,
    IRQ_MSI = 3,
    IRQ_STI = 5,
    IRQ_MTI = 7,
    IRQ_SEI = 9,
    IRQ_MEI = 11,
    IRQ_LCOFI = 13, /* Sscofpmf */
};

/* mcause, scause */
#define CAUSE_INTERRUPT BIT(63)
#define CAUSE_VIRTUAL \
    BIT(62) /* not the architecture's: an interrupt that mvien, and not mideleg, gives to S-mode */
enum {
    CAUSE_FETCH_MISALIGNED = 0,
    CAUSE_FETCH_ACCESS = 1,
    CAUSE_ILLEGAL = 2,
    CAUSE_BREAKPOINT = 3,
    CAUSE_LOAD_MISALIGNED = 4,
    CAUSE_LOAD_ACCESS = 5,
    CAUSE_STORE_MISALIGNED = 6,
    CAUSE_STORE_ACCESS = 7,
    CAUSE_ECALL_U = 8, /* + enum priv */
    CAUSE_ECALL_S = 9,
    CAUSE_ECALL_M = 11,
    CAUSE_FETCH_PAGE = 12,
    CAUSE_LOAD_PAGE = 13,
    CAUSE_STORE_PAGE = 15,
};

/* mtvec, stvec */
#define TVEC_MODE     UINT64_C(3)
#define TVEC_VECTORED 1

/* menvcfg, senvcfg */
#define ENVCFG_FIOM          BIT(0)
#define ENVCFG_CBIE          (BIT(4) | BIT(5)) /* Zicbom */
#define ENVCFG_CBIE_NONE     0
#define ENVCFG_CBIE_FLUSH    BIT(4)
#define ENVCFG_CBIE_RESERVED BIT(5)
#define ENVCFG_CBCFE         BIT(6)  /* Zicbom */
#define ENVCFG_CBZE          BIT(7)  /* Zicboz */
#define ENVCFG_ADUE          BIT(61) /* Svadu */
#define ENVCFG_PBMTE         BIT(62) /* Svpbmt */
#define ENVCFG_STCE          BIT(63) /* Sstc */

/* mseccfg, seed: Zkr */
#define MSECCFG_USEED BIT(8)
#define MSECCFG_SSEED BIT(9)
#define SEED_ES16     (UINT64_C(2) << 30) /* 16 bits of entropy; 0: BIST, 1: WAIT */
#define SEED_WAIT     (UINT64_C(1) << 30)

/* mstateen0..3: Smstateen */
#define STATEEN_IMSIC  BIT(58) /* AIA; this and the next two */
#define STATEEN_AIA    BIT(59)
#define STATEEN_CSRIND BIT(60)
#define STATEEN_ENVCFG BIT(62)
#define STATEEN_SE     BIT(63)

/* mcounteren, scounteren, mcountinhibit */
#define COUNTER_CY 0
#define COUNTER_TM 1
#define COUNTER_IR 2

/* mhpmevent3..31: Sscofpmf */
#define EVENT_UINH    BIT(60)
#define EVENT_SINH    BIT(61)
#define EVENT_MINH    BIT(62)
#define EVENT_OF      BIT(63)
#define EVENT_NUMBER  (BIT(56) - 1)
#define EVENT_CYCLES  1 /* what Guise counts: numbers as the SBI specification's hardware events have them */
#define EVENT_RETIRED 2

/* satp */
enum {
    SATP_BARE = 0,
    SATP_SV39 = 8,
    SATP_SV48 = 9,
    SATP_SV57 = 10,
};
#define SATP_MODE_SHIFT 60
#define SATP_ASID_SHIFT 44
#define SATP_ASID       (UINT64_C(0xffff) << SATP_ASID_SHIFT)
#define SATP_PPN        (BIT(44) - 1)

/* Page-table entries of Sv39, Sv48 and Sv57 */
#define PTE_V         BIT(0)
#define PTE_R         BIT(1)
#define PTE_W         BIT(2)
#define PTE_X         BIT(3)
#define PTE_U         BIT(4)
#define PTE_G         BIT(5)
#define PTE_A         BIT(6)
#define PTE_D         BIT(7)
#define PTE_PPN_SHIFT 10
#define PTE_RESERVED  (UINT64_C(0x7f) << 54)
#define PTE_PBMT      (BIT(61) | BIT(62)) /* Svpbmt */
#define PTE_N         BIT(63)             /* Svnapot */

/* pmpcfg: one byte for each entry */
#define PMP_R        0x01
#define PMP_W        0x02
#define PMP_X        0x04
#define PMP_A        0x18
#define PMP_L        0x80
#define PMP_A_OFF    0x00
#define PMP_A_TOR    0x08
#define PMP_A_NA4    0x10
#define PMP_A_NAPOT  0x18
#define PMPADDR_BITS (BIT(54) - 1) /* bits 55..2 of a physical address */

/* misa */
#define MISA_MXL_64         (UINT64_C(2) << 62)
#define MISA_LETTER(letter) BIT((letter) - 'A')

#endif
