#!/usr/bin/env node
/** `kubectl_complete-pullwarden`: kubectl runs it at a tab behind `kubectl pullwarden` (from 1.26 on). */
process.argv.splice(2, 0, '__complete', '--');
await import('./kubectl-pullwarden.ts');
