// The native addon's entry: the constants of the kernel's headers and the functions of the other files.
// Source of the constants: the headers themselves, so that they are right on every architecture.
// Left out: everything that Node's own fs and net do as well (close, read, write, ftruncate, fstat).
#include "addon.h"

#include <linux/falloc.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <fcntl.h>

#include <cerrno>
#include <csignal>

namespace splitvm {
namespace {

struct Constant {
  const char* name;
  int value;
};

constexpr Constant kConstants[] = {
    {"PROT_NONE", PROT_NONE},
    {"PROT_READ", PROT_READ},
    {"PROT_WRITE", PROT_WRITE},
    {"F_SEAL_SEAL", F_SEAL_SEAL},
    {"F_SEAL_SHRINK", F_SEAL_SHRINK},
    {"F_SEAL_GROW", F_SEAL_GROW},
    {"F_SEAL_WRITE", F_SEAL_WRITE},
    {"F_SEAL_FUTURE_WRITE", F_SEAL_FUTURE_WRITE},
    {"FALLOC_FL_KEEP_SIZE", FALLOC_FL_KEEP_SIZE},
    {"FALLOC_FL_PUNCH_HOLE", FALLOC_FL_PUNCH_HOLE},
    {"EFD_NONBLOCK", EFD_NONBLOCK},
    {"EFD_SEMAPHORE", EFD_SEMAPHORE},
    {"POLLIN", POLLIN},
    {"POLLOUT", POLLOUT},
    {"POLLERR", POLLERR},
    {"POLLHUP", POLLHUP},
    {"POLLNVAL", POLLNVAL},
    {"SIGKILL", SIGKILL},
    {"SIGTERM", SIGTERM},
    {"EAGAIN", EAGAIN},
    {"EINTR", EINTR},
    {"ETIMEDOUT", ETIMEDOUT},
};

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  Napi::Object constants = Napi::Object::New(env);
  for (const Constant& constant : kConstants) constants.Set(constant.name, constant.value);
  exports.Set("constants", constants);
  RegisterMemory(exports);
  RegisterFutex(exports);
  RegisterSocket(exports);
  RegisterThread(exports);
  RegisterLocked(exports);
  RegisterTimer(exports);
  RegisterLock(exports);
  RegisterPty(exports);
  return exports;
}

}  // namespace

void ExportWarm(Napi::Object exports, const char* name, napi_callback call) {
  Napi::Env env = exports.Env();
  napi_value function;
  napi_status status = napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
  if (status != napi_ok) throw Napi::Error::New(env);
  exports.Set(name, function);
}

NODE_API_MODULE(splitvm, Init)

}  // namespace splitvm
