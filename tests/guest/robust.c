/* Robust mutexes: what is left when an owner dies, as a thread and as a process (killed: addresses.c).
 * reference: native qemu-user 7.2 has no robust lists
 */
#include "test.h"
#include <pthread.h>
#include <sys/mman.h>

static pthread_mutex_t robust;

static void *die_with_lock(void *arg)
{
    pthread_mutex_lock(&robust);
    return arg;
}

static void test_robust(void)
{
    pthread_mutexattr_t attr;
    pthread_t thread;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attr);
    pthread_create(&thread, NULL, die_with_lock, NULL);
    pthread_join(thread, NULL);
    EQ("owner died", pthread_mutex_lock(&robust), EOWNERDEAD);
    EQ("made consistent", pthread_mutex_consistent(&robust), 0);
    pthread_mutex_unlock(&robust);
    EQ("usable again", pthread_mutex_lock(&robust), 0);
    pthread_mutex_unlock(&robust);
    pthread_create(&thread, NULL, die_with_lock, NULL);
    pthread_join(thread, NULL);
    EQ("owner died again", pthread_mutex_lock(&robust), EOWNERDEAD);
    pthread_mutex_unlock(&robust);
    EQ("not recovered", pthread_mutex_lock(&robust), ENOTRECOVERABLE);

    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(shared, &attr);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(shared);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    EQ("owning process has ended", pthread_mutex_lock(shared), EOWNERDEAD);
    munmap(shared, 4096);
}

int main(void)
{
    test_robust();
    return test_end();
}
