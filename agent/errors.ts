/**
 * Every error that Pullwarden throws on purpose, each with the closed list of its reasons. One table: what a
 * log line, a metric or an exit code may say about an error stands here and nowhere else. Messages are for
 * people, on one line, and never hold a credential.
 */

/** An error class with a closed list of reasons. */
type ErrorClass<Reason extends string> = {
  readonly reasons: readonly Reason[];
  new (reason: Reason, message: string, options?: ErrorOptions): Error & { readonly reason: Reason };
};

function errorClass<const Reason extends string>(
  className: string,
  reasons: readonly Reason[],
): ErrorClass<Reason> {
  return class extends Error {
    static readonly reasons = reasons;
    override readonly name = className;
    readonly reason: Reason;

    constructor(reason: Reason, message: string, options?: ErrorOptions) {
      super(message, options);
      this.reason = reason;
    }
  };
}

/** A text is not an image name. */
export const ImageNameError = errorClass('ImageNameError', [
  'empty',
  'tooLong',
  'invalidFormat',
  'notLowercase',
  'imageId',
]);
export type ImageNameError = InstanceType<typeof ImageNameError>;

/** Kubelet would not start with this image pattern. */
export const AllowlistError = errorClass('AllowlistError', [
  'surroundingSpaces',
  'tooShort',
  'wildcard',
  'notAnImageName',
  'tagOrDigest',
]);
export type AllowlistError = InstanceType<typeof AllowlistError>;

/**
 * A secret of a docker config type does not hold one. The message names the place, never what stands there.
 */
export const DockerConfigError = errorClass('DockerConfigError', [
  'tooLarge',
  'notJson',
  'wrongType',
  'authNotBase64',
  'authWithoutColon',
]);
export type DockerConfigError = InstanceType<typeof DockerConfigError>;

/**
 * A JSON text is not what a Go struct takes (sigs.k8s.io/json, UnmarshalStrict). The message names places,
 * never values; the name of an unknown field stands only in `field`, because what a plugin prints may be a
 * secret wherever it stands.
 */
export class DecodingError extends errorClass('DecodingError', [
  'unknownField',
  'duplicateField',
  'wrongType',
  'durationMalformed',
  'tooLarge',
]) {
  /** Of an unknown field: its name, as it was written. */
  readonly field: string | undefined;

  constructor(reason: DecodingError['reason'], message: string, field?: string) {
    super(reason, message);
    this.field = field;
  }
}

/**
 * Kubelet's credential provider configuration cannot be used. `pathEmpty`, `unreadable`, `noFiles`,
 * `tooLarge`: what the path leads to. `malformed`: a file does not decode. `duplicateName`: two providers of
 * one name. `invalid`: it decodes, and kubelet would not start with it.
 */
export class ProviderConfigError extends errorClass('ProviderConfigError', [
  'pathEmpty',
  'unreadable',
  'noFiles',
  'tooLarge',
  'malformed',
  'duplicateName',
  'invalid',
]) {
  /** Of an invalid one: every field that is wrong, and how, in the words of the Kubernetes API. */
  readonly faults: readonly { readonly field: string; readonly type: string }[];

  constructor(
    reason: ProviderConfigError['reason'],
    message: string,
    { faults = [], ...options }: ErrorOptions & Pick<Partial<ProviderConfigError>, 'faults'> = {},
  ) {
    super(reason, message, options);
    this.faults = faults;
  }
}

/**
 * A credential provider has given nothing. The message holds nothing that the plugin printed and no token.
 *
 * `binaryMissing`, `binaryNotExecutable`, `environmentInvalid`, `startFailed`: it could not be run.
 * `exitedNonZero`, `killed`, `timedOut`, `outputTooLarge`: it ran, and ended badly. `answerNotJson`,
 * `wrongVersion`, `answerMalformed`, `cacheKeyTypeInvalid`, `tokenEchoed`: what it answered cannot be used.
 * `cacheKeyTooLong`: the pod's service account has annotations that are too long. `serviceAccountGone`: it is
 * not there, or is another one of the same name by now. `serviceAccountUnreadable`, `tokenUnavailable`: the
 * API server does not say. `tokenForbidden`, `audienceForbidden`: it says no. `closed`: the agent is ending.
 */
export const ProviderError = errorClass('ProviderError', [
  'binaryMissing',
  'binaryNotExecutable',
  'environmentInvalid',
  'startFailed',
  'exitedNonZero',
  'killed',
  'timedOut',
  'outputTooLarge',
  'answerNotJson',
  'wrongVersion',
  'answerMalformed',
  'cacheKeyTypeInvalid',
  'tokenEchoed',
  'cacheKeyTooLong',
  'serviceAccountGone',
  'serviceAccountUnreadable',
  'tokenUnavailable',
  'tokenForbidden',
  'audienceForbidden',
  'closed',
]);
export type ProviderError = InstanceType<typeof ProviderError>;

/** The configuration cannot be used. The message says which key, from where, and what is allowed. */
export const ConfigError = errorClass('ConfigError', [
  'unknownOption',
  'invalidValue',
  'missingOption',
  'conflict',
  'fileUnreadable',
  'fileMalformed',
]);
export type ConfigError = InstanceType<typeof ConfigError>;

/** The command line asks for something that cannot be done. */
export const CommandError = errorClass('CommandError', [
  'usage',
  'notFound',
  'ambiguous',
  'unwritable',
  'noAgentYet',
  'kubectlFailed',
]);
export type CommandError = InstanceType<typeof CommandError>;

/** The telemetry server cannot listen where it should. */
export const ListenError = errorClass('ListenError', [
  'addressInUse',
  'addressNotAvailable',
  'permissionDenied',
  'listenFailed',
]);
export type ListenError = InstanceType<typeof ListenError>;

/** The runtime's socket cannot be used. */
export const EndpointError = errorClass('EndpointError', [
  'notFound',
  'notASocket',
  'permissionDenied',
  'invalid',
]);
export type EndpointError = InstanceType<typeof EndpointError>;

/**
 * A call to the runtime failed. `unreachable`: the socket does not answer. `deadline`: no answer in time.
 * `failed`: the runtime answered with an error.
 */
export const RuntimeError = errorClass('RuntimeError', [
  'unreachable',
  'deadline',
  'permissionDenied',
  'unimplemented',
  'failed',
]);
export type RuntimeError = InstanceType<typeof RuntimeError>;

/**
 * A connection to the runtime's NRI socket ended, or was never made. The message carries numbers only,
 * nothing that the runtime sent.
 *
 * `unreachable`: nobody listens at the socket. `closed`: the runtime ended the connection. `shutdown`: it did
 * after saying so. `socket`: the socket failed. `registrationRefused`, `registrationTimeout`: the runtime
 * does not take the plugin, or did not get as far as Synchronize in time. `deadline`: a call was not answered
 * in time, one of ours or one of the runtime's. `frameTooLarge`, `messageTooLarge`: beyond what the protocol
 * allows. `unknownConnection`, `unexpectedMessage`, `streamId`: what no correct peer sends. `truncated`: the
 * end came within a frame or message. `malformed`: bytes that are not such a protobuf message.
 * `tooManyRequests`, `writeBacklog`: the runtime asks without reading the answers. `synchronizeUnfinished`:
 * it could not tell what exists within its own timeout. `internal`: a defect of the agent.
 */
export const NriError = errorClass('NriError', [
  'unreachable',
  'closed',
  'shutdown',
  'socket',
  'registrationRefused',
  'registrationTimeout',
  'deadline',
  'frameTooLarge',
  'messageTooLarge',
  'unknownConnection',
  'unexpectedMessage',
  'streamId',
  'truncated',
  'malformed',
  'tooManyRequests',
  'writeBacklog',
  'synchronizeUnfinished',
  'internal',
]);
export type NriError = InstanceType<typeof NriError>;

/** Pods or their secrets cannot be read from where they come from. */
export const PodSourceError = errorClass('PodSourceError', [
  'apiServerUnavailable',
  'secretUnreadable',
  'directoryUnreadable',
]);
export type PodSourceError = InstanceType<typeof PodSourceError>;

/**
 * A service account could not be read, or no token be had for it. The message never holds a token.
 *
 * `audienceForbidden`: the API server gives nodes no tokens for this audience; the message has the RBAC rule.
 * `subjectGone`: the service account or the pod does not exist any more, or is another. `tokenRefused`: the
 * API server did not accept the request. `noTokens`: there is no API server to ask.
 */
export const ServiceAccountError = errorClass('ServiceAccountError', [
  'apiServerUnavailable',
  'serviceAccountForbidden',
  'audienceForbidden',
  'tokenForbidden',
  'tokenRefused',
  'subjectGone',
  'noTokens',
]);
export type ServiceAccountError = InstanceType<typeof ServiceAccountError>;

/** An object is not what its kind says. The message names fields, never their values. */
export const ManifestError = errorClass('ManifestError', [
  'podMalformed',
  'secretMalformed',
  'serviceAccountMalformed',
]);
export type ManifestError = InstanceType<typeof ManifestError>;

/**
 * A request to the API server failed. The message holds nothing of a body but the text of a Status.
 *
 * `identityUnusable`: kubeconfig, certificate, token or exec plugin leave nothing to ask with. `expired`
 * (410): the resource version or continue token is no longer known. `tooNew`: the resource version is newer
 * than any that the server has (it was restored from a backup, say).
 */
export class ApiError extends errorClass('ApiError', [
  'identityUnusable',
  'unreachable',
  'timeout',
  'badRequest',
  'unauthorized',
  'forbidden',
  'notFound',
  'conflict',
  'expired',
  'tooNew',
  'tooManyRequests',
  'serverError',
  'answerMalformed',
  'answerTooLarge',
]) {
  /** From the header Retry-After. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: ApiError['reason'],
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(reason, message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * A write could not be made durable, or a database cannot be used. `databaseNewer`: it is in order, and
 * written by a newer Pullwarden than this.
 */
export const RecordStoreError = errorClass('RecordStoreError', [
  'databaseFull',
  'databaseReadOnly',
  'databaseCorrupt',
  'databaseBusy',
  'databaseNewer',
  'imageNameInvalid',
  'databaseFailed',
]);
export type RecordStoreError = InstanceType<typeof RecordStoreError>;

/** A text is not one of kubelet's records. The message holds nothing of its content but names of fields. */
export const KubeletFormatError = errorClass('KubeletFormatError', ['notJson', 'wrongKind', 'malformed']);
export type KubeletFormatError = InstanceType<typeof KubeletFormatError>;
