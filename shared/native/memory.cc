// Memory that processes share: memfd, its seals, and mappings of it over a WebAssembly.Memory.
// Sources: memfd_create(2), fcntl(2) "File Sealing", mmap(2), fallocate(2); the WebAssembly JavaScript Interface,
// "Memories".
// Left out: mprotect (guest accesses are never caught by page faults) and unmapping (V8 unmaps a memory it collects).
#include "addon.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace splitvm {
namespace {

Napi::Value MemfdCreate(const Napi::CallbackInfo& info) {
  Args args(info);
  std::string name = args.Text(0, "name");
  int64_t size = args.Size(1, "size");
  int fd = Check(info.Env(), memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
  if (ftruncate(fd, size) != 0) {
    int number = errno;
    close(fd);
    throw SystemError(info.Env(), number, "ftruncate");
  }
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value AddSeals(const Napi::CallbackInfo& info) {
  Args args(info);
  int seals = static_cast<int>(args.Integer(1, "seals", 0, INT_MAX));
  Check(info.Env(), fcntl(args.Descriptor(0, "fd"), F_ADD_SEALS, seals), "fcntl");
  return info.Env().Undefined();
}

Napi::Value GetSeals(const Napi::CallbackInfo& info) {
  int fd = Args(info).Descriptor(0, "fd");
  return Napi::Number::New(info.Env(), Check(info.Env(), fcntl(fd, F_GET_SEALS), "fcntl"));
}

Napi::Value Fallocate(const Napi::CallbackInfo& info) {
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  int mode = static_cast<int>(args.Integer(1, "mode", 0, INT_MAX));
  int64_t offset = args.Size(2, "offset");
  int64_t length = args.Size(3, "length");
  int result;
  do {
    result = fallocate(fd, mode, offset, length);  // tmpfs gives up with EINTR when a signal is pending
  } while (result != 0 && errno == EINTR);
  Check(info.Env(), result, "fallocate");
  return info.Env().Undefined();
}

size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

/**
 * The range [at, at + length) of `memory`, arguments 0 to 2, as whole pages that may be mapped over.
 * Only a shared WebAssembly.Memory's buffer may be: V8 reserves it with mmap and never moves it.  Any other buffer is
 * the heap's, and mapping over it would take the heap's pages.  The standard freezes that buffer, and only that one.
 */
Bytes PagesOf(const Napi::CallbackInfo& info, const Args& args) {
  Napi::Env env = info.Env();
  Bytes view = args.View(0, "memory");
  int64_t at = args.Size(1, "at");
  int64_t length = args.Size(2, "length");
  napi_value buffer;
  napi_get_typedarray_info(env, info[0], nullptr, nullptr, nullptr, &buffer, nullptr);
  Napi::Object object = env.Global().Get("Object").As<Napi::Object>();
  bool frozen = object.Get("isFrozen").As<Napi::Function>().Call({buffer}).ToBoolean();
  if (Napi::Value(env, buffer).IsArrayBuffer() || !frozen) {  // a SharedArrayBuffer is no ArrayBuffer
    throw Napi::TypeError::New(env, "\"memory\" must be a view of a shared WebAssembly.Memory");
  }
  if (length == 0 || static_cast<size_t>(at) > view.length || static_cast<size_t>(length) > view.length - at) {
    throw Napi::RangeError::New(env, "the range " + std::to_string(at) + "+" + std::to_string(length) +
                                         " is empty or outside the memory of " + std::to_string(view.length));
  }
  uint8_t* start = view.data + at;
  if ((reinterpret_cast<uintptr_t>(start) | static_cast<uintptr_t>(length)) % PageSize() != 0) {
    throw Napi::RangeError::New(env, "\"at\" and \"length\" must be multiples of the page size");
  }
  return {start, static_cast<size_t>(length)};
}

/** Refuses a mapping that reaches beyond the end of its file: an access there would be a SIGBUS. */
void CheckFileRange(Napi::Env env, int fd, int64_t offset, int64_t length) {
  struct stat status;
  Check(env, fstat(fd, &status), "fstat");
  if (offset > status.st_size || length > status.st_size - offset) {
    throw Napi::RangeError::New(env, "the range " + std::to_string(offset) + "+" + std::to_string(length) +
                                         " is outside the file of " + std::to_string(status.st_size));
  }
}

Napi::Value MapFixed(const Napi::CallbackInfo& info) {
  Args args(info);
  Bytes pages = PagesOf(info, args);
  int fd = args.Descriptor(3, "fd");
  int64_t offset = args.Size(4, "fdOffset");
  int prot = static_cast<int>(args.Integer(5, "prot", PROT_NONE, PROT_READ | PROT_WRITE));
  if (static_cast<size_t>(offset) % PageSize() != 0) {
    throw Napi::RangeError::New(info.Env(), "\"fdOffset\" must be a multiple of the page size");
  }
  CheckFileRange(info.Env(), fd, offset, static_cast<int64_t>(pages.length));
  Check(info.Env(), mmap(pages.data, pages.length, prot, MAP_SHARED | MAP_FIXED, fd, offset), "mmap");
  return info.Env().Undefined();
}

void MapPrivate(const Napi::CallbackInfo& info, int prot) {
  Bytes pages = PagesOf(info, Args(info));
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  Check(info.Env(), mmap(pages.data, pages.length, prot, flags, -1, 0), "mmap");
}

Napi::Value MapAnonymous(const Napi::CallbackInfo& info) {
  MapPrivate(info, PROT_READ | PROT_WRITE);
  return info.Env().Undefined();
}

Napi::Value MapNone(const Napi::CallbackInfo& info) {
  MapPrivate(info, PROT_NONE);
  return info.Env().Undefined();
}

Napi::Value MapReadOnly(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Args args(info);
  int fd = args.Descriptor(0, "fd");
  int64_t size = args.Size(1, "length");
  if (size == 0) throw Napi::RangeError::New(env, "\"length\" must not be 0");
  CheckFileRange(env, fd, 0, size);
  size_t length = static_cast<size_t>(size);
  void* data = Check(env, mmap(nullptr, length, PROT_READ, MAP_SHARED, fd, 0), "mmap");
  auto unmap = [](Napi::BasicEnv, void* at, size_t* length) {
    munmap(at, *length);
    delete length;
  };
  size_t* hint = new size_t(length);
  try {
    return Napi::ArrayBuffer::New(env, data, length, unmap, hint);
  } catch (...) {
    munmap(data, length);
    delete hint;
    throw;
  }
}

}  // namespace

void RegisterMemory(Napi::Object exports) {
  Export<MemfdCreate>(exports, "memfdCreate");
  Export<AddSeals>(exports, "addSeals");
  Export<GetSeals>(exports, "getSeals");
  Export<Fallocate>(exports, "fallocate");
  Export<MapFixed>(exports, "mapFixed");
  Export<MapAnonymous>(exports, "mapAnonymous");
  Export<MapNone>(exports, "mapNone");
  Export<MapReadOnly>(exports, "mapReadOnly");
}

}  // namespace splitvm
