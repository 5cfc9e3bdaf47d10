// A worker in Node: it reserves credits for a call and commits what the call used.
//
//     node docs/examples/node/worker.mjs HOST:PORT ACCOUNT JOB
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const folder = (path) => fileURLToPath(new URL(path, import.meta.url));
const protos = loadSync(['creditmeter/v1/metering.proto', 'google/rpc/status.proto', 'google/rpc/error_details.proto'], {
    includeDirs: [folder('../../../proto'), folder('../../../third_party/proto')],
    json: true, // shows what is in a google.protobuf.Any
});
const { MeteringService } = grpc.loadPackageDefinition(protos).creditmeter.v1;

// region README
async function meter(metering, account, job) {
    const call = (name, request) => promisify(metering[name].bind(metering))(request, { deadline: Date.now() + 10_000 });
    const work = { action: 'text', requestModel: 'gpt-4o', inputTokens: 8000, maxOutputTokens: 1000 };
    const { reservation } = await call('Reserve', { requestId: `${job}/reserve`, accountId: account, work }); // throws if refused
    const usage = { inputTokens: 7420, outputTokens: 212 }; // what the call reported
    const commit = { requestId: `${job}/commit`, reservationId: reservation.reservationId, usage };
    return (await call('Commit', commit)).charge;
}

function reason(error) {
    const [status] = error.metadata?.get('grpc-status-details-bin') ?? [];
    const details = status ? protos['google.rpc.Status'].deserialize(status).details : [];
    return details.find((each) => each['@type'].endsWith('google.rpc.ErrorInfo'))?.reason ?? error.message; // no answer
}
// endregion

const [address, account, job] = process.argv.slice(2);
if (!job) {
    console.error('usage: node docs/examples/node/worker.mjs HOST:PORT ACCOUNT JOB');
    process.exit(2);
}
const metering = new MeteringService(address, grpc.credentials.createInsecure());
try {
    const charge = await meter(metering, account, job);
    console.log('charged:', charge.costMicrocredits.toString(), 'microcredits');
} catch (error) {
    console.log('refused:', reason(error));
}
metering.close();
