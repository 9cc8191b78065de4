//! The order of steps, by index: pure graph work.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// An order in which every step comes after those that it needs, and otherwise as in the file.
///
/// # Errors
/// One circle for each group of steps that need each other: `[a, b]` if a needs b and b needs a.
pub(super) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut sorting = Sorting::new(needs);
    let mut circles = Vec::new();
    sorting.place_free();
    while sorting.order.len() < needs.len() {
        let circle = sorting.find_circle();
        // Pretend that one of these needs is gone, and look for more circles.
        sorting.release(circle[0]);
        circles.push(circle);
        sorting.place_free();
    }
    if circles.is_empty() { Ok(sorting.order) } else { Err(circles) }
}

struct Sorting<'a> {
    needs: &'a [Vec<usize>],
    needed_by: Vec<Vec<usize>>,
    unmet: Vec<usize>,
    placed: Vec<bool>,
    /// Steps whose needs are met, the first of the file first.
    free: BinaryHeap<Reverse<usize>>,
    order: Vec<usize>,
    /// All steps before this one are placed.
    first_unplaced: usize,
}

impl<'a> Sorting<'a> {
    fn new(needs: &'a [Vec<usize>]) -> Self {
        let mut needed_by = vec![Vec::new(); needs.len()];
        for (step, needs) in needs.iter().enumerate() {
            needs.iter().for_each(|need| needed_by[*need].push(step));
        }
        let unmet: Vec<usize> = needs.iter().map(Vec::len).collect();
        let free = (0..needs.len()).filter(|step| unmet[*step] == 0).map(Reverse).collect();
        let placed = vec![false; needs.len()];
        Self { needs, needed_by, unmet, placed, free, order: Vec::new(), first_unplaced: 0 }
    }

    /// Kahn's algorithm, from the steps that are free.
    fn place_free(&mut self) {
        while let Some(Reverse(step)) = self.free.pop() {
            self.placed[step] = true;
            self.order.push(step);
            for next in &self.needed_by[step] {
                self.unmet[*next] -= 1;
                if self.unmet[*next] == 0 && !self.placed[*next] {
                    self.free.push(Reverse(*next));
                }
            }
        }
    }

    /// Makes a step free though its needs are not met.
    fn release(&mut self, step: usize) {
        self.unmet[step] = usize::MAX;
        self.free.push(Reverse(step));
    }

    /// Follows needs among the steps that can't be placed; each has one, so a step comes up twice.
    fn find_circle(&mut self) -> Vec<usize> {
        while self.placed[self.first_unplaced] {
            self.first_unplaced += 1;
        }
        let mut path = vec![self.first_unplaced];
        let mut place = vec![None; self.needs.len()];
        loop {
            let step = path[path.len() - 1];
            place[step] = Some(path.len() - 1);
            let Some(next) = self.needs[step].iter().copied().find(|need| !self.placed[*need]) else { return path };
            if let Some(start) = place[next] {
                let mut circle = path.split_off(start);
                let smallest = (0..circle.len()).min_by_key(|index| circle[*index]).unwrap_or(0);
                circle.rotate_left(smallest);
                return circle;
            }
            path.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_keep_the_order_of_the_file_where_needs_allow() {
        assert_eq!(order(&[vec![], vec![], vec![]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[vec![1, 2], vec![3], vec![3], vec![]]), Ok(vec![3, 1, 2, 0]));
    }

    #[test]
    fn each_circle_is_found_once_and_steps_behind_it_are_not_part_of_it() {
        // 0 ⇄ 1 ← 2, and 3 → 4 → 5 → 3, and 6 is free.
        let needs = [vec![1], vec![0], vec![1], vec![4], vec![5], vec![3], vec![]];
        assert_eq!(order(&needs), Err(vec![vec![0, 1], vec![3, 4, 5]]));
    }

    #[test]
    fn a_long_circle_and_many_circles_take_no_time() {
        let one: Vec<Vec<usize>> = (0..10_000).map(|step| vec![(step + 1) % 10_000]).collect();
        assert_eq!(order(&one).unwrap_err()[0].len(), 10_000);
        let many: Vec<Vec<usize>> = (0..2_000).map(|step| vec![step ^ 1]).collect();
        assert_eq!(order(&many).unwrap_err().len(), 1_000);
    }
}
