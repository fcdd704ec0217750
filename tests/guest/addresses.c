/* What the host's kernel does for a guest by looking at guest addresses itself: /proc/self/mem, and robust mutexes of a
 * process that was killed.
 * reference: native qemu-user 7.2 has no robust lists
 * not under: address, whose shadow memory has the low addresses: the guest's are not the host's
 */
#include "test.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

static void test_proc_mem(void)
{
    volatile long secret = 0x1234567890;
    long seen = 0, other = 0x987654321;
    int fd = open("/proc/self/mem", O_RDWR);
    OK("/proc/self/mem is read",
       pread(fd, &seen, sizeof seen, (off_t)(uintptr_t)&secret) == 8 && seen == secret);
    OK("and written", pwrite(fd, &other, sizeof other, (off_t)(uintptr_t)&secret) == 8 && secret == other);
    close(fd);
}

static void test_killed_owner(void)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(shared, &attr);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(shared);
        kill(getpid(), SIGKILL);
    }
    waitpid(child, NULL, 0);
    EQ("owning process was killed", pthread_mutex_lock(shared), EOWNERDEAD);
    munmap(shared, 4096);
}

int main(void)
{
    test_proc_mem();
    test_killed_owner();
    return test_end();
}
