/** How long may one of a crowd wait for a lock, and when do turns begin and end? The lane alone. */
import { expect, test } from 'vitest'
import { Lane } from '../../../src/conflict/lane.ts'

/** Begins so many attempts, and tells how long each may wait. */
function crowd(lane: Lane, size: number): (number | undefined)[] {
	return Array.from({ length: size }, () => begin(lane))
}

function begin(lane: Lane, cutShort = 0, mayWaitLong = false): number | undefined {
	lane.running += 1
	return lane.begin(cutShort, mayWaitLong)
}

/** Has crowds of so many come and go, all committed, until so many attempts were limited. */
function prove(lane: Lane, size: number, limited: number): void {
	let left = limited
	while (left > 0) {
		for (const lockWaitMs of crowd(lane, size)) {
			lane.end(lockWaitMs, true)
			if (lockWaitMs !== undefined) left -= 1
		}
	}
}

test('on an endpoint that is new two may wait for locks for as long as it takes, and those that come to them a tenth of a second', () => {
	expect(crowd(new Lane(), 5)).toEqual([undefined, undefined, 100, 100, 100])
})

test('each time that it was too short it is four times as long, up to the time that PostgreSQL takes to find a deadlock', () => {
	const lane = new Lane()
	crowd(lane, 2)
	expect([0, 1, 2, 3].map((cutShort) => begin(lane, cutShort))).toEqual([100, 400, undefined, undefined])
})

test('one that must not be cut short is not', () => {
	const lane = new Lane()
	crowd(lane, 2)
	expect(begin(lane, 0, true)).toBeUndefined()
})

test('one of them always may wait for as long as it takes', () => {
	const lane = new Lane()
	for (const patient of crowd(lane, 6).slice(0, 2)) lane.end(patient, true)
	expect(crowd(lane, 3)).toEqual([undefined, 100, 100])
})

test('as many as have proven to do no harm are limited no more; 64 at once prove it of any number', () => {
	const lane = new Lane()
	prove(lane, 8, 1_024)
	const eight = crowd(lane, 9)
	expect(eight).toEqual([...Array.from({ length: 8 }, () => undefined), 100])
	for (const lockWaitMs of eight) lane.end(lockWaitMs, true)
	prove(lane, 70, 1_024)
	expect(crowd(lane, 200).filter((each) => each !== undefined)).toEqual([])
})

test('where somebody has lost it takes sixteen times as many to prove it, and a deadlock undoes the proof', () => {
	const lane = new Lane()
	prove(lane, 70, 1_024)
	lane.lost('deadlock', 0)
	prove(lane, 70, 16_000)
	expect(crowd(lane, 3)).toEqual([undefined, undefined, 100])
})

test('who loses first of all has lost', () => {
	const lane = new Lane()
	lane.lost('serialization_failure', 0)
	prove(lane, 70, 1_024)
	expect(crowd(lane, 3)).toEqual([undefined, undefined, 100])
})

test('a loss now and then is no reason for turns; five in a row are, and so are two deadlocks', () => {
	const seldom = new Lane()
	for (let loss = 0; loss < 10; loss++) {
		prove(seldom, 70, 200)
		seldom.lost('serialization_failure', 0)
	}
	expect(seldom.narrow).toBe(false)
	const often = new Lane()
	for (let loss = 0; loss < 5; loss++) often.lost('serialization_failure', 0)
	expect([often.narrow, often.limit]).toEqual([true, 1])
	const deadlocked = new Lane()
	for (let loss = 0; loss < 2; loss++) deadlocked.lost('deadlock', 0)
	expect(deadlocked.narrow).toBe(true)
})

test('in turns too it is proven that so many do no harm; who loses to a snapshot has not waited in a circle, a deadlock undoes it', () => {
	const lane = new Lane()
	for (let loss = 0; loss < 2; loss++) lane.lost('deadlock', 0)
	const limited = () =>
		crowd(lane, 4).map((lockWaitMs) => {
			lane.end(lockWaitMs, true)
			return lockWaitMs !== undefined
		})
	expect(limited()).toEqual([false, true, true, true])
	prove(lane, 4, 16_000)
	lane.lost('serialization_failure', 0)
	prove(lane, 4, 381)
	expect(limited()).toEqual([false, false, false, false])
	lane.lost('deadlock', 0)
	expect(limited()).toEqual([false, true, true, true])
	prove(lane, 4, 16_000)
	lane.lost('lock_timeout', 0)
	prove(lane, 4, 381)
	expect(limited()).toEqual([false, true, true, true])
})
