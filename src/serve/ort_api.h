/*
 * ort_api.h
 *		The part of ONNX Runtime's C API that is used, without its header.
 *
 * The API is a table of functions that only grows at its end, so a function's
 * place in it is as good as its name: library 1.N answers versions 1 to N, and
 * ORT_API_VERSION is the oldest that has all of these.  Private to ort*.c.
 */
#ifndef MODELOPT_SERVE_ORT_API_H
#define MODELOPT_SERVE_ORT_API_H

#include <stddef.h>
#include <stdint.h>

#define ORT_API_VERSION 17

typedef struct OrtStatus OrtStatus;
typedef struct OrtEnv OrtEnv;
typedef struct OrtSession OrtSession;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtRunOptions OrtRunOptions;
typedef struct OrtValue OrtValue;
typedef struct OrtTypeInfo OrtTypeInfo;
typedef struct OrtTensorInfo OrtTensorInfo;
typedef struct OrtSequenceInfo OrtSequenceInfo;
typedef struct OrtMapInfo OrtMapInfo;
typedef struct OrtOptionalInfo OrtOptionalInfo;
typedef struct OrtMemoryInfo OrtMemoryInfo;
typedef struct OrtAllocator OrtAllocator;
typedef struct OrtArenaCfg OrtArenaCfg;

typedef struct OrtApiBase
{
	const void *const *(*GetApi) (uint32_t version);
	const char *(*GetVersionString) (void);
} OrtApiBase;

typedef void (*OrtLogger) (void *param, int severity, const char *category,
						   const char *id, const char *place,
						   const char *message);

enum
{
	ORT_LOG_ERROR = 3,
	ORT_SEQUENTIAL = 0,
	ORT_DEVICE_ALLOCATOR = 0,
	ORT_ARENA_ALLOCATOR = 1,
	ORT_MEMORY_DEFAULT = 0,
	ORT_OPTIMIZE_NOTHING = 0,
	ORT_OPTIMIZE_EXTENDED = 2,
};

/* X(place in the table, result, name, arguments) */
#define ORT_FUNCTIONS(X) \
	X(1, int, GetErrorCode, (const OrtStatus *)) \
	X(2, const char *, GetErrorMessage, (const OrtStatus *)) \
	X(4, OrtStatus *, CreateEnvWithCustomLogger, \
	  (OrtLogger, void *, int, const char *, OrtEnv **)) \
	X(6, OrtStatus *, DisableTelemetryEvents, (const OrtEnv *)) \
	X(8, OrtStatus *, CreateSessionFromArray, \
	  (const OrtEnv *, const void *, size_t, const OrtSessionOptions *, OrtSession **)) \
	X(9, OrtStatus *, Run, \
	  (OrtSession *, const OrtRunOptions *, const char *const *, \
	   const OrtValue *const *, size_t, const char *const *, size_t, OrtValue **)) \
	X(10, OrtStatus *, CreateSessionOptions, (OrtSessionOptions **)) \
	X(13, OrtStatus *, SetSessionExecutionMode, (OrtSessionOptions *, int)) \
	X(22, OrtStatus *, SetSessionLogSeverityLevel, (OrtSessionOptions *, int)) \
	X(23, OrtStatus *, SetSessionGraphOptimizationLevel, (OrtSessionOptions *, int)) \
	X(24, OrtStatus *, SetIntraOpNumThreads, (OrtSessionOptions *, int)) \
	X(25, OrtStatus *, SetInterOpNumThreads, (OrtSessionOptions *, int)) \
	X(30, OrtStatus *, SessionGetInputCount, (const OrtSession *, size_t *)) \
	X(31, OrtStatus *, SessionGetOutputCount, (const OrtSession *, size_t *)) \
	X(33, OrtStatus *, SessionGetInputTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **)) \
	X(34, OrtStatus *, SessionGetOutputTypeInfo, (const OrtSession *, size_t, OrtTypeInfo **)) \
	X(36, OrtStatus *, SessionGetInputName, (const OrtSession *, size_t, OrtAllocator *, char **)) \
	X(37, OrtStatus *, SessionGetOutputName, (const OrtSession *, size_t, OrtAllocator *, char **)) \
	X(39, OrtStatus *, CreateRunOptions, (OrtRunOptions **)) \
	X(46, OrtStatus *, RunOptionsSetTerminate, (OrtRunOptions *)) \
	X(47, OrtStatus *, RunOptionsUnsetTerminate, (OrtRunOptions *)) \
	X(48, OrtStatus *, CreateTensorAsOrtValue, \
	  (OrtAllocator *, const int64_t *, size_t, int, OrtValue **)) \
	X(49, OrtStatus *, CreateTensorWithDataAsOrtValue, \
	  (const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t, int, OrtValue **)) \
	X(51, OrtStatus *, GetTensorMutableData, (OrtValue *, void **)) \
	X(52, OrtStatus *, FillStringTensor, (OrtValue *, const char *const *, size_t)) \
	X(53, OrtStatus *, GetStringTensorDataLength, (const OrtValue *, size_t *)) \
	X(54, OrtStatus *, GetStringTensorContent, (const OrtValue *, void *, size_t, size_t *, size_t)) \
	X(55, OrtStatus *, CastTypeInfoToTensorInfo, (const OrtTypeInfo *, const OrtTensorInfo **)) \
	X(56, OrtStatus *, GetOnnxTypeFromTypeInfo, (const OrtTypeInfo *, int *)) \
	X(60, OrtStatus *, GetTensorElementType, (const OrtTensorInfo *, int *)) \
	X(61, OrtStatus *, GetDimensionsCount, (const OrtTensorInfo *, size_t *)) \
	X(62, OrtStatus *, GetDimensions, (const OrtTensorInfo *, int64_t *, size_t)) \
	X(63, OrtStatus *, GetSymbolicDimensions, (const OrtTensorInfo *, const char **, size_t)) \
	X(65, OrtStatus *, GetTensorTypeAndShape, (const OrtValue *, OrtTensorInfo **)) \
	X(69, OrtStatus *, CreateCpuMemoryInfo, (int, int, OrtMemoryInfo **)) \
	X(76, OrtStatus *, AllocatorFree, (OrtAllocator *, void *)) \
	X(78, OrtStatus *, GetAllocatorWithDefaultOptions, (OrtAllocator **)) \
	X(80, OrtStatus *, GetValue, (const OrtValue *, int, OrtAllocator *, OrtValue **)) \
	X(81, OrtStatus *, GetValueCount, (const OrtValue *, size_t *)) \
	X(82, OrtStatus *, CreateValue, (const OrtValue *const *, size_t, int, OrtValue **)) \
	X(93, void, ReleaseStatus, (OrtStatus *)) \
	X(94, void, ReleaseMemoryInfo, (OrtMemoryInfo *)) \
	X(95, void, ReleaseSession, (OrtSession *)) \
	X(96, void, ReleaseValue, (OrtValue *)) \
	X(97, void, ReleaseRunOptions, (OrtRunOptions *)) \
	X(98, void, ReleaseTypeInfo, (OrtTypeInfo *)) \
	X(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorInfo *)) \
	X(100, void, ReleaseSessionOptions, (OrtSessionOptions *)) \
	X(103, OrtStatus *, CastTypeInfoToMapTypeInfo, (const OrtTypeInfo *, const OrtMapInfo **)) \
	X(104, OrtStatus *, CastTypeInfoToSequenceTypeInfo, \
	  (const OrtTypeInfo *, const OrtSequenceInfo **)) \
	X(105, OrtStatus *, GetMapKeyType, (const OrtMapInfo *, int *)) \
	X(106, OrtStatus *, GetMapValueType, (const OrtMapInfo *, OrtTypeInfo **)) \
	X(107, OrtStatus *, GetSequenceElementType, (const OrtSequenceInfo *, OrtTypeInfo **)) \
	X(130, OrtStatus *, AddSessionConfigEntry, (OrtSessionOptions *, const char *, const char *)) \
	X(144, OrtStatus *, CreateAndRegisterAllocator, (OrtEnv *, const OrtMemoryInfo *, const OrtArenaCfg *)) \
	X(157, void, ReleaseArenaCfg, (OrtArenaCfg *)) \
	X(164, OrtStatus *, CreateArenaCfgV2, (const char *const *, const size_t *, size_t, OrtArenaCfg **)) \
	X(192, OrtStatus *, HasValue, (const OrtValue *, int *)) \
	X(250, OrtStatus *, CastTypeInfoToOptionalTypeInfo, \
	  (const OrtTypeInfo *, const OrtOptionalInfo **)) \
	X(251, OrtStatus *, GetOptionalContainedTypeInfo, (const OrtOptionalInfo *, OrtTypeInfo **))

#endif							/* MODELOPT_SERVE_ORT_API_H */
