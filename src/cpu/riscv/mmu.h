/* Address translation: from a virtual address and what is to be done there to a guest-physical address or an
 * exception. It walks the page table each time; engines remember what it found until SFENCE.VMA or a sys_effect says
 * otherwise.
 *
 * Threads: the hart's own. Other harts may walk and change the same page table meanwhile.
 * Source: The RISC-V Instruction Set Manual, volume II: "Virtual Address Translation Process", Sv39, Sv48, Sv57, Svade,
 * Svadu, Svpbmt, Svnapot; "Memory Privilege in mstatus Register"; "Physical Memory Protection and Paging". */
#ifndef CPU_RISCV_MMU_H
#define CPU_RISCV_MMU_H

#include "cpu/riscv/sys.h"

enum mmu_access {
    MMU_FETCH,
    MMU_LOAD,  /* LR, too */
    MMU_STORE, /* SC, AMOs and CBO.ZERO, too */
    MMU_BLOCK, /* cache-block management: may go where loads or stores may, and fails like a store */
};

enum mmu_right {
    MMU_R = 1 << 0,
    MMU_W = 1 << 1,
    MMU_X = 1 << 2,
};

/* Svpbmt: memory types. */
enum mmu_type { MMU_PMA = 0, MMU_NC = 1, MMU_IO = 2 };

/* What was found. It holds for every address of the page, in the same privilege mode, with the same satp, SUM and
 * MXR. */
struct mmu_page {
    uint64_t gpa;  /* of the address that was asked for */
    uint64_t size; /* a power of two: 4 KiB, a superpage, 64 KiB by Svnapot; everything without translation */
    uint8_t rights; /* enum mmu_right: what is allowed without another walk, which might have to set A or D */
    uint8_t type;   /* enum mmu_type */
    bool global;    /* in all address spaces */
};

#define MMU_OK UINT64_MAX /* no exception's cause */

/* The privilege mode of an access: for loads and stores mstatus.MPRV counts. */
enum priv mmu_mode(const struct hart_sys *sys, enum mmu_access access);

/* Are addresses translated for accesses in this mode? */
static inline bool mmu_is_on(const struct hart_sys *sys, enum priv mode)
{
    return mode != PRIV_M && sys->satp >> SATP_MODE_SHIFT != SATP_BARE;
}

/* Translates; sets A and D bits as Svadu says. PMP is looked at for the page table alone. Returns MMU_OK or a cause. */
uint64_t mmu_translate(struct hart_sys *sys, uint64_t address, enum mmu_access access, enum priv mode,
                       struct mmu_page *page);

/* All that an access of `size` bytes has to pass before it reaches the bus: translation and PMP. It must not cross a
 * page of 4 KiB: a misaligned access is two. On MMU_OK, `page` is filled in; else the trap's value is `address`. */
uint64_t mmu_access(struct hart_sys *sys, uint64_t address, unsigned size, enum mmu_access access,
                    struct mmu_page *page);

/* What remains of page->rights for the 4 KiB around page->gpa when PMP is looked at, too, to be remembered together;
 * 0 when PMP divides them, so that each access has to ask. */
unsigned mmu_page_rights(const struct hart_sys *sys, const struct mmu_page *page, enum priv mode);

/* The cause of an access that PMP or the bus refuses, and of one that the page table refuses. */
uint64_t mmu_access_fault(enum mmu_access access);
uint64_t mmu_page_fault(enum mmu_access access);

#endif
